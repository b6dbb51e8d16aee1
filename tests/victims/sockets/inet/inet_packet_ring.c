// Packet sockets with receive and send rings of all versions, which are mapped only when they are needed.
#include "tests/victims/sockets/inet/inet.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>

#define EXPERIMENTAL 0x88b6
#define BLOCK 4096
#define BLOCKS 4
#define FRAME 1024

static int made(int version, int ring) {
  int fd = MUST(socket(AF_PACKET, SOCK_RAW, 0));
  set_int(fd, SOL_PACKET, PACKET_VERSION, version);
  struct tpacket_req3 request = {.tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME};
  request.tp_frame_nr = BLOCK / FRAME * BLOCKS;
  if (version == TPACKET_V3 && ring == PACKET_RX_RING) request.tp_retire_blk_tov = 10, request.tp_sizeof_priv = 8;
  socklen_t length = version == TPACKET_V3 ? sizeof request : sizeof(struct tpacket_req);
  MUST(setsockopt(fd, SOL_PACKET, ring, &request, length));
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("lo")};
  link.sll_protocol = htons(EXPERIMENTAL);
  MUST(bind(fd, (struct sockaddr*)&link, sizeof link));
  return fd;
}

// Without a ring of this size the kernel rejects the mapping.
static unsigned char* map_ring(int fd, const char* what) {
  unsigned char* ring = mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(ring != MAP_FAILED, "mapping the ring of %s: %s", what, strerror(errno));
  return ring == MAP_FAILED ? NULL : ring;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int first = made(TPACKET_V1, PACKET_RX_RING), second = made(TPACKET_V2, PACKET_RX_RING);
  int third = made(TPACKET_V3, PACKET_RX_RING), sends = made(TPACKET_V2, PACKET_TX_RING);

  victim_wait();

  map_ring(first, "version 1");
  unsigned char* ring = map_ring(second, "version 2");
  unsigned char* blocks = map_ring(third, "version 3");
  map_ring(sends, "one that sends");
  int sender = MUST(socket(AF_PACKET, SOCK_RAW, 0));
  unsigned char frame[60] = {0};
  struct ethhdr header = {.h_proto = htons(EXPERIMENTAL)};
  memcpy(frame, &header, sizeof header);
  memcpy(frame + sizeof header, "through the ring", 16);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("lo"), .sll_halen = 6};
  MUST(sendto(sender, frame, sizeof frame, 0, (struct sockaddr*)&to, sizeof to));
  CHECK(soon(first, POLLIN) && soon(second, POLLIN) && soon(third, POLLIN), "a ring stays empty");
  if (ring != NULL) {
    const struct tpacket2_hdr* got = (const struct tpacket2_hdr*)ring;
    CHECK((got->tp_status & TP_STATUS_USER) != 0 &&
              memcmp(ring + got->tp_mac + sizeof header, "through the ring", 16) == 0,
          "the first frame: status %x", got->tp_status);
  }
  if (blocks != NULL) {
    const struct tpacket_block_desc* got = (const struct tpacket_block_desc*)blocks;
    CHECK_EQ(got->offset_to_priv + 8 <= got->hdr.bh1.offset_to_first_pkt, 1, "room for the program's own");
    CHECK_EQ(got->hdr.bh1.num_pkts, 1, "packets in the first block");
  }
  return victim_end();
}
