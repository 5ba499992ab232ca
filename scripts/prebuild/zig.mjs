// The compiler of the prebuilds: zig, which contains clang and the C and C++ libraries of every platform. scripts/prebuild/package-lock.json
// has its version and checksums. It is installed when it is first needed, because it has 400 MB and only releases need it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { folderOf, root } from './targets.mjs'

const folder = dirname(fileURLToPath(import.meta.url))
const packages = join(folder, 'node_modules/@zigc')
const zig = join(packages, 'linux-x64/bin/zig')

/** How to run zig, or undefined if it is not installed. */
export function zigCompiler() {
  const lib = join(packages, 'lib')
  if (!existsSync(zig) || !existsSync(join(lib, 'std'))) return undefined
  return { command: zig, env: { ...process.env, ZIG_LIB_DIR: lib } }
}

export function installZig() {
  if (zigCompiler()) return
  console.log('Installing zig in scripts/prebuild/node_modules')
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit' })
  if (status !== 0) throw new Error('npm cannot install zig: run npm ci in scripts/prebuild, which says why')
}

/**
 * A script that runs zig as the C++ compiler. CMake's first test of the compiler is not linked, because zig compiles its C++ library for the
 * first link of each kind. A link that succeeds prints nothing, because zig prints the warnings of that library.
 */
const compilerScript = (zigCommand) => `#!/bin/sh
case "$*" in *CMakeCXXCompilerId.cpp*) set -- -c "$@" ;; esac
case " $* " in
  *' -c '* | *' -E '* | *' -S '*) exec ${zigCommand} "$@" ;;
  *' -o '*) ;;
  *) exec ${zigCommand} "$@" ;;
esac
printed=$(${zigCommand} "$@" 2>&1) && exit
status=$?
printf '%s\\n' "$printed" >&2
exit $status
`

/**
 * Writes programs that CMake can call, in `at`: each is one command of zig for the target. The compiler is called clang++, so that ccache
 * knows how to treat it. -g0: zig makes debug information by default.
 * @returns the options for CMake
 */
export function zigTools(target, at) {
  mkdirSync(at, { recursive: true })
  const zigCommand = (command) => `env ZIG_LIB_DIR='${join(packages, 'lib')}' '${zig}' ${command}`
  const write = (name, script) => {
    const file = join(at, name)
    if (existsSync(file) && readFileSync(file, 'utf8') === script) return file // with its old time: ccache takes a new one for another compiler
    writeFileSync(file, script, { mode: 0o755 })
    return file
  }
  const tool = (name) => write(name, `#!/bin/sh\nexec ${zigCommand(name)} "$@"\n`)
  return [
    `-DCMAKE_SYSTEM_NAME=${target.system}`,
    `-DCMAKE_SYSTEM_PROCESSOR=${target.processor}`,
    `-DCMAKE_CXX_COMPILER=${write('clang++', compilerScript(zigCommand(`c++ -target ${target.zig} -g0`)))}`,
    '-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY', // the other tests are not linked either
    `-DCMAKE_AR=${tool('ar')}`,
    `-DCMAKE_RANLIB=${tool('ranlib')}`,
    `-DCMAKE_RC_COMPILER=${tool('rc')}`,
  ]
}

/**
 * Configures a build of the engine and its tests by zig in the folder `name` of the target. Warnings are errors.
 * @returns the build's folder
 */
export function configureWithZig(target, name, options = []) {
  installZig()
  const build = join(folderOf(target), name)
  const usual = [
    '-DCLIP_ES_WERROR=ON',
    '-DCLIP_ES_UNITY=ON',
    '-DCLIP_ES_CUDA=OFF',
    '-DCLIP_ES_EMULATE_CUDA=OFF',
    '--log-level=WARNING',
  ]
  const compiler = zigTools(target, join(folderOf(target), 'tools'))
  const { status } = spawnSync('cmake', ['-S', root, '-B', build, '-G', 'Ninja', ...usual, ...options, ...compiler], {
    stdio: 'inherit',
  })
  if (status !== 0) throw new Error(`cmake cannot configure ${build}`)
  return build
}
