// npm run prebuild:all [-- TARGET…]: builds the add-on for every platform on one Linux machine, such as linux-arm64 and win32-x64, and puts
// each into prebuilds/, where node-gyp-build finds it. Then checks all of them. Needs CMake, Ninja, and npm for the compiler.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { checkPrebuilds } from './prebuild/check.mjs'
import { folderOf, nameOf, prebuildOf, root, targets } from './prebuild/targets.mjs'
import { installZig } from './prebuild/zig.mjs'

const prebuildify = createRequire(import.meta.url).resolve('prebuildify/bin.js')

function chooseTargets(names) {
  const unknown = names.find((name) => !targets.some((target) => nameOf(target) === name))
  if (unknown) throw new Error(`there is no target '${unknown}': choose from ${targets.map(nameOf).join(', ')}`)
  return names.length ? targets.filter((target) => names.includes(nameOf(target))) : targets
}

function build(target) {
  console.log(`\n${nameOf(target)}`)
  const cwd = folderOf(target)
  mkdirSync(cwd, { recursive: true })
  rmSync(dirname(prebuildOf(target)), { recursive: true, force: true })
  const libc = target.platform === 'linux' ? ['--tag-libc', 'glibc'] : []
  const nodeGyp = join(root, 'scripts/prebuild/node_gyp.mjs')
  const { status } = spawnSync(
    process.execPath,
    [prebuildify, '--napi', '--name', 'clip-es', '--cwd', cwd, '--out', root, '--node-gyp', nodeGyp, ...libc],
    { cwd: root, stdio: 'inherit', env: { ...process.env, PREBUILD_PLATFORM: target.platform, PREBUILD_ARCH: target.arch } },
  )
  if (status !== 0) throw new Error(`the prebuild for ${nameOf(target)} failed`)
}

try {
  const chosen = chooseTargets(process.argv.slice(2))
  installZig()
  for (const target of chosen) build(target)
  console.log()
  checkPrebuilds(chosen)
} catch (error) {
  console.error(`prebuild:all: ${error.message}`)
  process.exitCode = 1
}
