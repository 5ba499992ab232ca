// The engine without Node: examples/native as its page says, with the API's mask, and clip_es_bench's table for the same class set.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Segmenter } from '../../ts/index.js'
import { installedLibTorch } from '../../ts/libtorch/find.js'
import { root, Workplace } from '../e2e/support.js'
import { agreement, crop, modelPath, otherModelPath, scene } from '../integration/support.js'
import { testIf } from '../test_if.js'

const place = new Workplace()
const libtorch = installedLibTorch()?.folder
const hasTools = ['cmake', 'c++'].every((tool) => spawnSync(tool, ['--version']).error === undefined)
const nativeTest = testIf(hasTools, 'the native example and the bench: there is no CMake or no C++ compiler')

const classes = place.path('classes.safetensors')
const photo = place.path('photo.ppm')
let expected: Uint8Array
let scores: Float32Array

test.before(async () => {
  const { data, width, height } = crop(await scene('scene01'), 300, 201)
  writeFileSync(photo, Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), data]))
  await using segmenter = await Segmenter.load(modelPath, { threads: 2, precision: 'float32' })
  const set = await segmenter.encodeClasses(['elephant', { name: 'screen', synonyms: ['television', 'screen'] }, 'panda'], {
    fusion: 'cam',
  })
  await set.save(classes)
  const result = await segmenter.segment({ data, width, height }, set)
  expected = result.mask
  scores = result.scores
})
test.after(() => place.remove())

function run(command: string, args: string[] = []): { status: number | null; stdout: string; stderr: string } {
  const options = { encoding: 'utf8', cwd: root, env: { ...process.env, CLIP_ES_LIBTORCH: libtorch ?? '' } } as const
  return args.length ? spawnSync(command, args, options) : spawnSync('bash', ['-c', command], options)
}

const page = readFileSync(join(root, 'examples/native/README.md'), 'utf8')
const [, commands = ''] = page.match(/^```sh\n([\s\S]*?)^```$/m) ?? []

nativeTest("the page's commands build the example, whose mask and scores are the API's", () => {
  const lines = commands.trim().split('\n')
  assert.is(lines.length, 3)
  let said = ''
  for (const line of lines) {
    const files = line
      .replace('ViT-B-16.pt', modelPath)
      .replace('classes.safetensors', classes)
      .replace('photo.ppm', photo)
      .replace('mask.pgm', place.path('mask.pgm'))
      .replace('cmake -S', 'cmake -DCLIP_ES_WERROR=ON -S') // the tests' own flags, so that ccache has most of it
    const { status, stdout, stderr } = run(files)
    assert.is(status, 0, `${line}\n${stdout}${stderr}`)
    said = stdout
  }
  const mask = readFileSync(place.path('mask.pgm'))
  const header = Buffer.from('P5 300 201 255\n')
  assert.equal(mask.subarray(0, header.length), header)
  assert.is(agreement(new Uint8Array(mask.subarray(header.length)), expected), 1)
  const rows = said
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
  assert.equal(
    rows.map(([value, name]) => `${value} ${name}`),
    ['1 elephant', '2 screen', '3 panda'],
  )
  for (const [i, [, , score]] of rows.entries()) assert.ok(Math.abs(Number(score) - (scores[i] as number)) < 1e-5, String(rows))
})

nativeTest('the example refuses files that are not photos, and classes of another model', () => {
  const program = join(root, 'build-example/segment_ppm')
  const good = [modelPath, classes, photo, place.path('other.pgm')]
  for (const [at, file, message] of [
    [
      0,
      otherModelPath,
      /the class set was encoded by model [0-9a-f]{16}, but the loaded model is [0-9a-f]{16}; encode and save the classes/,
    ],
    [1, photo, /photo\.ppm is not a class set written by ClassSet\.save/],
    [2, modelPath, /the photo is not a binary PPM with 8 bits per channel/],
  ] as const) {
    const { status, stderr } = run(program, good.with(at, file))
    assert.is(status, 1)
    assert.match(stderr, message)
  }
})

nativeTest("the bench's table has every stage for a class set's own texts, and the probe", () => {
  const { status: built, stdout: said, stderr: why } = run(process.execPath, ['scripts/build_native.mjs', 'clip_es_bench'])
  assert.is(built, 0, said + why)
  const bench = join(root, 'build-native/clip_es_bench')
  const args = ['--model', modelPath, '--classes', classes, '--size', '160x120', '--threads', '2', '--repeat', '1']
  const { status, stdout, stderr } = run(bench, args)
  assert.is(status, 0, stderr)
  assert.match(stdout, /160 x 120 photo, 80 patches, 3 labels, 2[0-9] background texts;/)
  assert.equal(
    [...stdout.matchAll(/^ {2}(\w+) +[\d.]+ s +[\d.]+ %/gm)].map(([, stage]) => stage),
    ['preprocess', 'encode', 'gradcam', 'caa', 'masks', 'total'],
  )
  assert.is([...stdout.matchAll(/ GFLOP +[\d.]+ GFLOP\/s +[\d.]+ % of peak$/gm)].length, 3)
  const whose = libtorch ? "LibTorch's" : "the engine's own"
  assert.match(stdout, new RegExp(`peak: ${whose} float32 products of the block's four shapes on cpu: [\\d.]+ GFLOP/s`))
  assert.match(stdout, /peak memory \d+ MB, of which weights and workspace \d+ MB; 0 workspace allocations after warm-up/)
  const many = run(bench, ['--model', modelPath, '--classes', classes, '--labels', '4'])
  assert.is(many.status, 1)
  assert.match(many.stderr, /--labels is 4, but .+classes\.safetensors has 3 classes/)
  assert.match(run(bench, ['--model', otherModelPath, '--classes', classes]).stderr, /was encoded by model/)
})

test.run()
