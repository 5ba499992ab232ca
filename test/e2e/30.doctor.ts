// `clip-es doctor`: what it says of this installation, and of ones that are wrong in one thing each. test/unit/95.doctor.ts has the rest.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Check } from '../../cli/src/doctor/check.js'
import { installedLibTorch } from '../../ts/libtorch/find.js'
import { testIf } from '../test_if.js'
import { main, root, Workplace } from './support.js'

const place = new Workplace()
const libtorch = installedLibTorch()
const libtorchTest = testIf(libtorch, 'the doctor with a LibTorch: there is none')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const names = [
  'Node.js',
  'platform',
  'CPU',
  'memory',
  'variables',
  'cache',
  'sharp',
  'LibTorch',
  'add-on',
  'engine',
  'model',
  'GPU',
]

test.after(() => place.remove())

interface Report {
  version: string
  ok: boolean
  checks: Check[]
}

function examine(env: Record<string, string> = {}): { status: number | null; report: Report; check: (name: string) => Check } {
  const { status, stdout, stderr } = place.run(['doctor', '--json'], { CLIP_ES_LIBTORCH: libtorch?.folder ?? '', ...env })
  assert.is(stderr, '')
  const report = JSON.parse(stdout) as Report
  const check = (name: string): Check => {
    const found = report.checks.find((one) => one.name === name)
    assert.ok(found, `no check named ${name}`)
    return found as Check
  }
  return { status, report, check }
}

test('a working installation: a line for every check, none is wrong, and a scene is segmented', () => {
  const { status, report, check } = examine()
  assert.equal([status, report.ok, report.version], [0, true, version])
  assert.equal(
    report.checks.map(({ name }) => name),
    names,
  )
  for (const one of report.checks) {
    assert.ok(one.detail.length > 3, one.name)
    assert.is('remedy' in one, one.status !== 'ok', one.name)
  }
  assert.match(check('add-on').detail, /clip_es.*\.node, .+ it loads/)
  const found = check('engine')
    .detail.match(/^a scene's masks are right \(IoU (.*)\) in \d+ ms/)?.[1]
    ?.split(', ')
  const { labels, iou_caa } = JSON.parse(readFileSync(join(root, 'models/scenes/labels.json'), 'utf8')).scene01
  assert.equal(
    found?.map((one) => one.replace(/ 0\.\d{3}$/, '')),
    labels,
  )
  for (const [i, one] of (found ?? []).entries()) assert.ok(Math.abs(Number(one.split(' ').at(-1)) - iou_caa[i]) < 0.01, one)
  assert.match(check('sharp').detail, /JPEG, PNG, WebP, AVIF, TIFF$/)
  assert.match(check('GPU').detail, /device 'auto' uses the CPU|device 'cuda' (lacks|can be used)/)
})

test('the report fits on one screen: a heading, a line for each check that begins with its state, and a verdict', () => {
  const { status, stdout, stderr } = place.run(['doctor'], { CLIP_ES_LIBTORCH: libtorch?.folder ?? '' })
  assert.equal([status, stderr], [0, ''])
  const lines = stdout.trimEnd().split('\n')
  assert.is(lines[0], `clip-es ${version}`)
  assert.match(lines.at(-1) as string, /^Everything works/)
  for (const name of names)
    assert.ok(
      lines.some((line) => new RegExp(`^(ok|warning) +${name} `).test(line)),
      name,
    )
  assert.ok(lines.length <= 24, String(lines.length))
})

libtorchTest('a LibTorch is named with its version, its source and what uses it', () => {
  const { check } = examine()
  assert.is(check('LibTorch').values?.version, libtorch?.version)
  assert.match(
    check('LibTorch').detail,
    /from \$CLIP_ES_LIBTORCH; it loads; (used for |not used: it is a CPU build, and this CPU has no AMX$)/,
  )
  assert.match(check('variables').detail, /\bCLIP_ES_LIBTORCH=/)
})

test('a $CLIP_ES_LIBTORCH without a LibTorch is a warning with the remedy, and the engine works', () => {
  const { status, report, check } = examine({ CLIP_ES_LIBTORCH: '/nowhere' })
  assert.equal([status, report.ok], [0, true])
  assert.is(check('LibTorch').status, 'warning')
  assert.match(check('LibTorch').detail, /CLIP_ES_LIBTORCH is \/nowhere/)
  assert.match(check('LibTorch').remedy as string, /unset it/)
  assert.is(check('engine').status, 'ok')
})

test('$CLIP_ES_MODEL: its model is loaded, and a model that does not load is wrong', () => {
  const model = join(root, 'test/golden/vit-small-random.pt')
  assert.match(
    examine({ CLIP_ES_MODEL: model }).check('model').detail,
    /vit-small-random\.pt: ViT of \d+ blocks of width \d+, patches of \d+ pixels, float32; it loads$/,
  )
  writeFileSync(place.path('text.pt'), 'no model')
  const { status, check } = examine({ CLIP_ES_MODEL: place.path('text.pt') })
  assert.is(status, 1)
  assert.match(check('model').detail, /text\.pt is not a TorchScript archive/)
  assert.match(check('model').remedy as string, /^point CLIP_ES_MODEL to a CLIP-ViT archive/)
})

test('the command starts without sharp, so that doctor can report that sharp does not load', () => {
  writeFileSync(
    place.path('no-sharp.cjs'),
    `const { Module } = require('node:module')
const load = Module._load
Module._load = (name, ...rest) => {
  if (name === 'sharp') throw new Error('Could not load the "sharp" module\\nmore')
  return load(name, ...rest)
}`,
  )
  const { status, check } = examine({ NODE_OPTIONS: `--require ${place.path('no-sharp.cjs')}` })
  assert.is(status, 1)
  assert.equal([check('sharp').status, check('sharp').detail], ['wrong', 'it does not load: Could not load the "sharp" module'])
})

test('a wrong option ends with status 2, and a reader that closes the pipe causes no crash', () => {
  const { status, stderr } = place.run(['doctor', '--jsn'])
  assert.is(status, 2)
  assert.match(stderr, /Did you mean --json\?/)
  const env = place.env({ CLIP_ES_LIBTORCH: libtorch?.folder ?? '' })
  const piped = spawnSync('sh', ['-c', `"${process.execPath}" "${main}" doctor | head -n 1`], { encoding: 'utf8', env })
  assert.equal([piped.stdout, piped.stderr], [`clip-es ${version}\n`, ''])
})

test.run()
