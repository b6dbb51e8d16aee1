// Open objects whose names were removed, other than regular files: a directory, a FIFO with content, device nodes, a
// symbolic link; and a removed working directory.
#include "tests/victims/victim.h"

#include <sys/sysmacros.h>

static ino_t inode_of(int fd) {
  struct stat about;
  MUST(fstat(fd, &about));
  return about.st_ino;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char got[100], path[4200];
  MUST(mkdir(own_path("open"), 0711));
  MUST(chmod(own_path("open"), 0711));
  int directory = MUST(open(own_path("open"), O_RDONLY | O_DIRECTORY));
  int again = MUST(open(own_path("open"), O_PATH));
  MUST(rmdir(own_path("open")));
  MUST(mkdir(own_path("cwd"), 0750));
  MUST(chdir(own_path("cwd")));
  MUST(rmdir(own_path("cwd")));
  // Another file has the name of this one now.
  MUST(mkfifo(own_path("fifo"), 0620));
  int reader = MUST(open(own_path("fifo"), O_RDONLY | O_NONBLOCK));
  int writer = MUST(open(own_path("fifo"), O_WRONLY));
  MUST(fcntl(reader, F_SETFL, 0));
  MUST(write(writer, "content", 7));
  MUST(unlink(own_path("fifo")));
  MUST(mkdir(own_path("fifo"), 0700));
  MUST(mknod(own_path("null"), S_IFCHR | 0600, makedev(1, 3)));
  int null = MUST(open(own_path("null"), O_RDWR));
  MUST(unlink(own_path("null")));
  MUST(symlink("/nowhere/at/all", own_path("link")));
  int link = MUST(open(own_path("link"), O_PATH | O_NOFOLLOW));
  MUST(unlink(own_path("link")));

  victim_wait();

  struct stat about;
  MUST(fstat(directory, &about));
  CHECK(S_ISDIR(about.st_mode) && (about.st_mode & 07777) == 0711, "mode 0%o of the directory", about.st_mode);
  CHECK(openat(directory, "new", O_WRONLY | O_CREAT, 0600) < 0 && errno == ENOENT,
        "files can be made in a removed directory");
  CHECK_EQ(inode_of(again), about.st_ino, "inode of the directory that is open twice");
  MUST(stat(".", &about));
  CHECK(S_ISDIR(about.st_mode) && (about.st_mode & 07777) == 0750, "mode 0%o of the working directory", about.st_mode);
  CHECK(getcwd(path, sizeof path) == NULL && errno == ENOENT, "the working directory is back");
  CHECK(read(reader, got, 100) == 7 && memcmp(got, "content", 7) == 0, "content of the FIFO");
  MUST(write(writer, "more", 4));
  CHECK_EQ(read(reader, got, 100), 4, "written after the move");
  CHECK_EQ(inode_of(reader), inode_of(writer), "inode of the FIFO");
  MUST(fstat(writer, &about));
  CHECK(S_ISFIFO(about.st_mode) && (about.st_mode & 07777) == (0620 & ~umask(0)), "mode 0%o of the FIFO",
        about.st_mode);
  MUST(fstat(null, &about));
  CHECK(S_ISCHR(about.st_mode) && about.st_rdev == makedev(1, 3), "device %lx", (unsigned long)about.st_rdev);
  CHECK_EQ(write(null, "x", 1), 1, "write to the device");
  CHECK(readlinkat(link, "", path, sizeof path) == 15 && memcmp(path, "/nowhere/at/all", 15) == 0,
        "target of the link");
  const char* names[] = {"open", "cwd", "null", "link"};
  for (int i = 0; i < 4; i++)
    CHECK(faccessat(AT_FDCWD, own_path(names[i]), F_OK, AT_SYMLINK_NOFOLLOW) != 0, "%s is back", names[i]);
  MUST(rmdir(own_path("fifo")));
  return victim_end();
}
