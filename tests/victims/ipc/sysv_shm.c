// System V shared memory: content, number, key, permissions, attachments, protection; one segment removed but attached,
// one not attached.
#include "tests/victims/victim.h"

#include <sys/ipc.h>
#include <sys/shm.h>

static struct shmid_ds status_of(int id) {
  struct shmid_ds status;
  MUST(shmctl(id, IPC_STAT, &status));
  return status;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  enum { kSize = 300000 };
  int shared = MUST(shmget(0x43525801, kSize, IPC_CREAT | IPC_EXCL | 0640));
  char* one = shmat(shared, NULL, 0);
  char* two = shmat(shared, NULL, SHM_RDONLY);
  if (one == (void*)-1 || two == (void*)-1) victim_setup_failed("shmat", __LINE__);
  fill(one, kSize / 2, 7);
  one[kSize - 1] = 'z';
  MUST(mprotect(one + 8 * PAGE, 4 * PAGE, PROT_READ));
  int gone = MUST(shmget(IPC_PRIVATE, 2 * PAGE, 0600));
  char* three = shmat(gone, NULL, 0);
  strcpy(three, "removed");
  MUST(shmctl(gone, IPC_RMID, NULL));
  int idle = MUST(shmget(IPC_PRIVATE, 5000, 0600));
  char* four = shmat(idle, NULL, 0);
  strcpy(four, "idle");
  MUST(shmdt(four));

  victim_wait();

  check_fill(one, kSize / 2, 7, "first attachment");
  check_fill(two, kSize / 2, 7, "second attachment");
  CHECK(one[kSize - 1] == 'z', "the last byte");
  strcpy(one, "shared?");
  CHECK(strcmp(two, "shared?") == 0, "the attachments have grown apart");
  struct shmid_ds status = status_of(shared);
  CHECK_EQ(status.shm_segsz, kSize, "size");
  CHECK_EQ(status.shm_perm.__key, 0x43525801, "key");
  CHECK_EQ(status.shm_perm.mode & 0777, 0640, "mode");
  // Three parts of the first segment, and the second.
  CHECK_EQ(status.shm_nattch, 4, "attachments");
  CHECK_EQ(shmget(0x43525801, 0, 0), shared, "number behind the key");
  CHECK(strcmp(three, "removed") == 0, "the removed segment has lost its content");
  CHECK((status_of(gone).shm_perm.mode & SHM_DEST) != 0, "the removed segment is not to go any more");
  MUST(shmdt(three));
  CHECK(shmctl(gone, IPC_STAT, &status) == -1, "the removed segment stays");
  four = shmat(idle, NULL, 0);
  CHECK(four != (void*)-1 && strcmp(four, "idle") == 0, "content of what was not attached");
  MUST(shmdt(one));
  MUST(shmdt(two));
  CHECK_EQ(status_of(shared).shm_nattch, 0, "attachments after shmdt");
  MUST(shmctl(shared, IPC_RMID, NULL));
  MUST(shmctl(idle, IPC_RMID, NULL));
  return victim_end();
}
