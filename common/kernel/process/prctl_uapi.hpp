// prctl(2), arch_prctl(2) and seccomp(2) numbers that Debian 12's headers lack.
#pragma once

#include <cstdint>

namespace crx::uapi {

inline constexpr int kGetTidAddress = 40;  // PR_GET_TID_ADDRESS, Linux 3.5
inline constexpr int kSetThpDisable = 41, kGetThpDisable = 42;
inline constexpr int kSetIoFlusher = 57, kGetIoFlusher = 58;
inline constexpr int kSetMdwe = 65, kGetMdwe = 66;                // Linux 6.3
inline constexpr int kSetMemoryMerge = 67, kGetMemoryMerge = 68;  // Linux 6.4
inline constexpr int kTimerCreateRestoreIds = 77;                 // Linux 6.15: 0 off, 1 on, 2 get
inline constexpr uint64_t kThpExceptAdvised = 2;                  // Linux 6.18

inline constexpr int kArchGetCpuid = 0x1011, kArchSetCpuid = 0x1012;
inline constexpr int kArchGetXcompPermission = 0x1022, kArchRequestXcompPermission = 0x1023;  // Linux 5.16

inline constexpr int kMembarrierGetRegistrations = 512;  // Linux 6.3
inline constexpr uint32_t kSeccompRetUserNotify = 0x7fc00000;

}  // namespace crx::uapi
