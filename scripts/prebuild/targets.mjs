// The platforms that npm run prebuild:all builds for, and what each add-on may need.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

export const largestPrebuild = 4e6 // bytes, of each

/** The newest version of glibc's symbols that an add-on for Linux may need. */
export const newestGlibc = '2.28'

/** What Windows 10 has: its kernel and the C library of Windows. */
const windowsLibraries = /^(kernel32\.dll|ntdll\.dll|api-ms-win-crt-[a-z]+-l1-1-0\.dll|ucrtbase\.dll)$/i

/**
 * zig: the target as zig names it. system and processor: as CMake names them. cpu: as the header of the file says. libraries: those that the
 * add-on may need.
 */
export const targets = [
  {
    platform: 'linux',
    arch: 'x64',
    zig: `x86_64-linux-gnu.${newestGlibc}`,
    system: 'Linux',
    processor: 'x86_64',
    libraries: /^(libc|libm|libpthread|libdl|ld-linux-x86-64)\.so\.\d$/,
  },
  {
    platform: 'linux',
    arch: 'arm64',
    zig: `aarch64-linux-gnu.${newestGlibc}`,
    system: 'Linux',
    processor: 'aarch64',
    libraries: /^(libc|libm|libpthread|libdl|ld-linux-aarch64)\.so\.\d$/,
  },
  {
    platform: 'win32',
    arch: 'x64',
    zig: 'x86_64-windows-gnu',
    system: 'Windows',
    processor: 'AMD64',
    libraries: windowsLibraries,
  },
  {
    platform: 'darwin',
    arch: 'arm64',
    zig: 'aarch64-macos.11.0',
    system: 'Darwin',
    processor: 'arm64',
    libraries: /^\/usr\/lib\/libSystem\.B\.dylib$/,
  },
  {
    platform: 'darwin',
    arch: 'x64',
    zig: 'x86_64-macos.11.0',
    system: 'Darwin',
    processor: 'x86_64',
    libraries: /^\/usr\/lib\/libSystem\.B\.dylib$/,
  },
]

export const nameOf = ({ platform, arch }) => `${platform}-${arch}`

/** Where prebuildify puts the add-on, and node-gyp-build finds it. */
export const prebuildOf = (target) =>
  join(root, 'prebuilds', nameOf(target), target.platform === 'linux' ? 'clip-es.glibc.node' : 'clip-es.node')

/** Where a target is built. */
export const folderOf = (target) => join(root, 'build-prebuild', nameOf(target))
