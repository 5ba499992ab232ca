// Runs the packed tarballs on other platforms: see test/platforms/platforms.mjs.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { build } from 'esbuild'
import { platforms } from '../../test/platforms/platforms.mjs'
import { prebuildOf } from '../prebuild/targets.mjs'
import { add, countProgram, countTests, failure, none, skip } from './counts.mjs'
import { run } from './process.mjs'
import { uvuTotals } from './uvu.mjs'

const root = process.cwd()

/** What tests import from ts/, by its name in the package. */
const packageNames = new Map([
  [join(root, 'ts/index'), 'clip-es'],
  [join(root, 'ts/photos/index'), 'clip-es/photos'],
  [join(root, 'ts/support/index'), 'clip-es/support'],
])

const usePackage = {
  name: 'use-package',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\./ }, ({ path, resolveDir }) => {
      const name = packageNames.get(resolve(resolveDir, path).replace(/\.[jt]s$/, ''))
      return name && { path: name, external: true }
    }),
}

/** Compiles a test to one file of the same folder in the project. */
async function bundle(file, project) {
  const outfile = join(project, file.replace(/\.ts$/, '.cjs'))
  await build({
    entryPoints: [file],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    mainFields: ['module', 'main'], // jsonc-parser's other form cannot be bundled
    tsconfigRaw: '{}', // without the paths that lead to ts/
    external: ['clip-es', 'clip-es/*', 'sharp'],
    plugins: [usePackage],
    logLevel: 'error',
  })
  return outfile
}

async function pack(workspace, project) {
  const args = ['pack', '--json', '--ignore-scripts', '--workspace', workspace, '--pack-destination', project]
  const { status, output } = await run('npm', args, { quiet: true })
  if (status !== 0) throw new Error(`npm cannot pack ${workspace}: ${output}`)
  return join(project, JSON.parse(output.slice(output.indexOf('['), output.lastIndexOf(']') + 1))[0].filename)
}

/** Links of the data that tests read, next to the compiled tests. */
function linkData(project) {
  symlinkSync(join(root, 'models'), join(project, 'models'))
  mkdirSync(join(project, 'test/golden'), { recursive: true })
  for (const name of readdirSync('test/golden').filter((one) => !one.endsWith('.ts')))
    symlinkSync(join(root, 'test/golden', name), join(project, 'test/golden', name))
}

function copyPrograms(project) {
  const files = readdirSync('test/platforms/programs').map((name) => `test/platforms/programs/${name}`)
  for (const file of [...files, ...readdirSync('test/node_versions').map((name) => `test/node_versions/${name}`)]) {
    mkdirSync(dirname(join(project, file)), { recursive: true })
    copyFileSync(file, join(project, file))
  }
}

/** A project that has installed the packed library and command, and the platform's Node.js and sharp. */
async function makeProject({ os, cpu, node }, project) {
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  const packages = []
  for (const workspace of ['clip-es', 'clip-es-server', 'clip-es-cli']) packages.push(await pack(workspace, project))
  packages.push('sharp@^0.35.5', node)
  const flags = ['--force', `--os=${os}`, `--cpu=${cpu}`, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, ending } = await run('npm', ['install', ...flags, '--prefix', project, ...packages])
  if (status !== 0) return `npm cannot install ${node} and sharp (${ending})`
  linkData(project)
  copyPrograms(project)
  return undefined
}

/** Counts a run whose exit status must be a given one. */
function countRun(name, { status, ending, output }, expected, problem = '') {
  if (status === expected && !problem) return { ...none, passed: 1 }
  console.log(output)
  return countProgram(name, { status: 1, ending: problem || ending })
}

async function runSelection({ name, program, renamed, tests, programs, commands }, project, start) {
  let counts = none
  const node = (args) => start.run(join(project, program), args, project)
  for (const { file, status } of programs) {
    console.log(`\n${name}: ${file}`)
    counts = add(counts, countRun(`${file} on ${name}`, await node([file]), status))
  }
  if (renamed) {
    console.log(`\n${name}: ${renamed}`)
    copyFileSync(join(project, program), join(project, renamed))
    const result = await start.run(join(project, renamed), ['test/platforms/programs/paths.cjs'], project)
    counts = add(counts, countRun(`${renamed}, the renamed Node.js`, result, 0))
  }
  for (const { args, writes } of commands) {
    console.log(`\n${name}: clip-es ${args.join(' ')}`)
    const result = await node(['node_modules/clip-es-cli/dist/main.js', ...args])
    const problem = writes && !existsSync(join(project, writes)) ? `it did not write ${writes}` : ''
    counts = add(counts, countRun(`clip-es ${args.join(' ')} on ${name}`, result, 0, problem))
  }
  for (const file of tests) {
    console.log(`\n${name}: ${file}`)
    const result = await node([await bundle(file, project)])
    console.log(result.output)
    counts = add(counts, countTests(`${file} on ${name}`, result, uvuTotals(result.output)))
  }
  return counts
}

async function testPlatform(platform, folder) {
  const number = platform.programs.length + Number('renamed' in platform) + platform.commands.length + platform.tests.length
  if (!existsSync(prebuildOf({ platform: platform.os, arch: platform.cpu })))
    return skip(number, `${platform.name}: there is no prebuild; npm run prebuild:all -- ${platform.name} makes it`)
  const start = await platform.start(folder)
  if (start.missing) return skip(number, `${platform.name}: ${start.missing}`)
  try {
    const project = join(folder, 'project')
    const problem = await makeProject(platform, project)
    return problem ? skip(number, `${platform.name}: ${problem}`) : await runSelection(platform, project, start)
  } finally {
    start.stop()
  }
}

export async function runPlatforms() {
  let counts = none
  for (const platform of platforms) {
    const folder = mkdtempSync(join(tmpdir(), 'clip-es-platform-'))
    try {
      counts = add(counts, await testPlatform(platform, folder).catch((error) => failure(`${platform.name}: ${error.message}`)))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return counts
}
