/*
 * What runc's cgo code takes from libseccomp's header of this name: values of the
 * kernel's interface, some of which older kernel headers lack. With
 * PKG_CONFIG_PATH set to this directory, runc is built without libseccomp.
 */
#ifndef BERTH_SECCOMP_H
#define BERTH_SECCOMP_H

#include <linux/audit.h>
#include <linux/seccomp.h>

#define SCMP_ACT_ERRNO(code) (SECCOMP_RET_ERRNO | ((code) & SECCOMP_RET_DATA))

/* ELF machine numbers and AUDIT_ARCH_ of linux/elf-em.h and linux/audit.h. */
#ifndef AUDIT_ARCH_AARCH64
#define AUDIT_ARCH_AARCH64 (183 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE)
#endif
#ifndef AUDIT_ARCH_MIPS64N32
#define AUDIT_ARCH_MIPS64N32 (8 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_CONVENTION_MIPS64_N32)
#endif
#ifndef AUDIT_ARCH_MIPSEL64N32
#define AUDIT_ARCH_MIPSEL64N32 (AUDIT_ARCH_MIPS64N32 | __AUDIT_ARCH_LE)
#endif
#ifndef AUDIT_ARCH_PPC64LE
#define AUDIT_ARCH_PPC64LE (21 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE)
#endif

#endif
