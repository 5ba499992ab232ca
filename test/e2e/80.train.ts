// `clip-es train` with a stand-in for the training program: files, messages, resume and faults.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { emojiNames } from './demo_set.js'
import { jsonLines, type Workplace } from './support.js'
import { trainPlace, validation } from './train_place.js'

const count = 4
let place: Workplace
test.before(async () => {
  place = await trainPlace(count)
})
test.after(() => place.remove())

const short = ['--iterations', '10', '--validate-every', '5', '--checkpoint-every', '5', '--threads', '1']
const train = (args: string[], env?: Record<string, string>) => place.run(['train', 'masks', ...short, ...args], env)
const readJson = (file: string) => JSON.parse(readFileSync(place.path(file), 'utf8'))

test('a run leaves its network, losses, settings and report, and says where they are', () => {
  const { status, stdout, stderr } = train(['-o', 'run', ...validation])
  assert.is(status, 0, stderr)
  assert.match(
    stdout,
    new RegExp(`^${count} pictures to learn from, validated with ${count}; the run is in ${place.path('run')}\n`),
  )
  assert.match(stdout, /\n4 validation photos also in masks: the network learns from what it is validated with\n/)
  assert.match(stdout, /\nbegins: 1,234 parameters on cpu, 1 threads\n1\/10: loss 1\.000, 100\.0\/s, 0 s left\n/)
  assert.match(stdout, /\niteration 5: validation mIoU 25\.0 %\n/)
  assert.match(
    stdout,
    /best\.safetensors has the weights of iteration 10, with a validation mIoU of 50\.0 %\nReport: .*run\/report\.html\n$/,
  )
  for (const file of ['best.safetensors', 'checkpoints/000010.safetensors', 'log.jsonl', 'report.html', 'manifest.json'])
    assert.ok(existsSync(place.path('run', file)), file)
  assert.not.ok(existsSync(place.path('run/command.lock')))
  const page = readFileSync(place.path('run/report.html'), 'utf8')
  assert.is(page.match(/<svg /g)?.length, 2)
  assert.is(page.match(/<div class="example">/g)?.length, count)
})

test('the job has every sample with its confidence, and the settings that the manifest has', () => {
  const [job, { settings, source }] = [readJson('run/job.json'), readJson('run/manifest.json')]
  assert.equal(job.classes, ['background', ...emojiNames])
  assert.is(job.samples.length, count)
  for (const { name, photo, mask, confidence } of job.samples) {
    assert.is(photo, place.path(`demo/photos/${name}.png`))
    assert.is(mask, place.path(`masks/masks/${name}.png`))
    assert.is(confidence, place.path(`masks/confidence/${name}.png`))
  }
  assert.is(job.validation[0].mask, place.path(`demo/truth/${job.validation[0].name}.png`))
  assert.equal(job.training, settings.training)
  assert.equal(job.network, settings.network)
  assert.equal(source.results, place.path('masks'))
})

test('--json prints the events of the program and nothing else', () => {
  const { status, stdout } = train(['-o', 'json', '--json'])
  assert.is(status, 0)
  const events = jsonLines(stdout).map(({ event }) => String(event))
  assert.equal([events[0], events.at(-1)], ['start', 'end'])
  assert.is(events.filter((event) => event === 'iteration').length, 10)
})

test('Ctrl-C saves, and the same command continues; other settings are refused', async () => {
  process.env.FAKE_TRAIN = 'slow:20'
  const args = ['train', 'masks', '-o', 'stopped', '--iterations', '500', '--checkpoint-every', '500', '--threads', '1']
  const { child, ended } = place.start(args)
  child.stdout?.on('data', (text: Buffer) => {
    if (/^10\/500/m.test(text.toString())) child.kill('SIGINT')
  })
  const { status, stderr } = await ended
  delete process.env.FAKE_TRAIN
  assert.is(status, 130)
  const [, at] = /interrupted at iteration (\d+) of 500; run the same command again to continue stopped/.exec(stderr) ?? []
  assert.ok(Number(at) > 0 && Number(at) < 500, stderr)
  const other = place.run([...args, '--batch', '3'])
  assert.is(other.status, 2)
  assert.match(
    other.stderr,
    /stopped holds a run of other settings: batch was 8 and is 3\. Choose another folder with --out, or begin again with --overwrite/,
  )
  const again = place.run(args)
  assert.is(again.status, 0, again.stderr)
  assert.match(again.stdout, new RegExp(`\ncontinues at iteration ${at}: `))
  const losses = readFileSync(place.path('stopped/log.jsonl'), 'utf8').trim().split('\n')
  assert.is(losses.length, 500)
  assert.match(place.run([...args, '--batch', '3', '--overwrite']).stdout, /\nbegins: /)
})

test('two commands in one folder: the second is refused', async () => {
  process.env.FAKE_TRAIN = 'slow:20'
  const { child, ended } = place.start(['train', 'masks', '-o', 'two', '--iterations', '500', '--threads', '1'])
  await new Promise((done) => child.stdout?.once('data', done))
  const { status, stderr } = place.run(['train', 'masks', '-o', 'two', '--iterations', '500', '--threads', '1'])
  child.kill('SIGINT')
  await ended
  delete process.env.FAKE_TRAIN
  assert.is(status, 2)
  assert.match(stderr, new RegExp(`process ${child.pid} is working in two; wait for it, or choose another folder with --out`))
})

test('errors of the program are told as it says them, and its death with the remedy', () => {
  for (const [fault, message] of [
    ['nan:3', /^clip-es: the loss of iteration 3 is NaN for the photos a, b$/m],
    ['disk:3', /^clip-es: no space left on device, write; iteration 2 of 10; run the same command again to continue/m],
    [
      'memory:3',
      /^clip-es: memory ran out; this run has --batch 8 and --crop 161\. Begin again with --batch 4 --accumulate 2 --overwrite, which needs about half/m,
    ],
    ['kill:3', /^clip-es: the training program was killed \(SIGKILL\), .* --batch 4 --accumulate 2 --overwrite/m],
    ['crash:3', /^clip-es: the training program ended with status 1: [\s\S]*a bug of the program/m],
  ] as const) {
    const { status, stderr } = train(['-o', `fault-${fault.slice(0, 3)}`], { FAKE_TRAIN: fault })
    assert.is(status, 1, stderr)
    assert.match(stderr, message)
  }
  const one = train(['-o', 'fault-one', '--batch', '1'], { FAKE_TRAIN: 'memory:3' })
  assert.match(
    one.stderr,
    /this run has --batch 1 and --crop 161\. Begin again with --crop 113 --overwrite, which needs about half/,
  )
})

test('masks and confidences that are missing, and masks of another size, are named', async () => {
  const moved = (file: string, message: RegExp, args: string[] = []) => {
    renameSync(place.path(file), place.path('moved'))
    const { status, stderr } = train(['-o', 'never', ...args])
    renameSync(place.path('moved'), place.path(file))
    assert.is(status, 2, stderr)
    assert.match(stderr, message)
  }
  moved(
    'masks/masks/00/0002.png',
    /lacks 1 mask that the journal lists \(00\/0002\); start the command that made the masks again/,
  )
  moved('masks/confidence/00/0002.png', /1 confidence of masks missing, such as .*0002\.png; start .* again with --confidence/)
  moved('demo/photos/00/0002.png', /the photo .*0002\.png cannot be used: it is not there/)
  moved('masks/confidence', /masks has no confidences, which the confidence-guided loss needs/, ['--threshold', '0.9'])
  mkdirSync(place.path('own/00'), { recursive: true })
  const mask = await encodeMask(new Uint8Array(6), { width: 3, height: 2 })
  for (let i = 0; i < count; i++) writeFileSync(place.path(`own/00/000${i}.png`), mask)
  const { status, stderr } = train(['-o', 'never', '--masks', 'own'])
  assert.is(status, 2)
  assert.match(
    stderr,
    /the mask .*own\/00\/0000\.png is 3 x 2, but its photo .*0000\.png is \d+ x \d+; make the mask again from this photo/,
  )
  rmSync(place.path('own/00/0003.png'))
  assert.match(
    train(['-o', 'never', '--masks', 'own']).stderr,
    /there is no mask own\/00\/0003\.png; --masks needs one for every photo/,
  )
})

test('without confidences the masks alone say what is ignored, and a note says so', () => {
  renameSync(place.path('masks/confidence'), place.path('moved'))
  const { status, stdout } = train(['-o', 'unsure'])
  renameSync(place.path('moved'), place.path('masks/confidence'))
  assert.is(status, 0)
  assert.match(stdout, /masks has no confidences: only the pixels that its masks ignore \(255\) are left out/)
  assert.is(readJson('unsure/job.json').samples[0].confidence, null)
})

test('a wrong command line ends with status 2 and the remedy', () => {
  for (const [args, message] of [
    [
      ['--preset', 'voc'],
      /the preset voc begins from ImageNet weights; name a \.safetensors or \.pth file with --weights, or use --network small/,
    ],
    [['--confidence', 'soft', '--threshold', '0.5'], /--confidence soft needs more than 0\.5/],
    [['--validation-photos', 'demo/photos'], /--validation-photos needs --validation/],
    [['--validation', 'nowhere'], /there is no folder nowhere; name results or a folder of ground truth/],
    [
      ['--validation', 'demo/truth'],
      /demo\/truth does not say which photos its masks are of; name their folder with --validation-photos/,
    ],
    [['--iteratoins', '5'], /Did you mean --iterations\?/],
    [['--masks', 'nowhere'], /there is no folder nowhere; name a folder of masks with --masks/],
  ] as const) {
    const { status, stderr } = train(['-o', 'never', ...args])
    assert.is(status, 2, stderr)
    assert.match(stderr, message)
  }
  assert.match(
    place.run(['train', 'nowhere']).stderr,
    /there is no folder nowhere; name one that clip-es dataset, crf or segment filled/,
  )
})

test('one message names everything that a build of the training program lacks', () => {
  mkdirSync(place.path('libtorch/lib'), { recursive: true })
  writeFileSync(place.path('libtorch/lib/libtorch_cpu.so'), '')
  const env = { CLIP_ES_TRAIN_PROGRAM: '', PATH: '/nowhere', CXX: '' }
  const { status, stderr } = train(['-o', 'unbuilt'], { ...env, CLIP_ES_LIBTORCH: place.path('libtorch') })
  assert.is(status, 1)
  assert.match(
    stderr,
    /lacks the headers of LibTorch \(.*libtorch has no include\/torch\/csrc\/api\/include\/torch\/torch\.h\); cmake; a C\+\+ compiler .*apt-get install cmake g\+\+ libjpeg-dev libpng-dev.*run the same command again/,
  )
  const gone = train(['-o', 'unbuilt'], { CLIP_ES_TRAIN_PROGRAM: '/nowhere/program' })
  assert.match(gone.stderr, /CLIP_ES_TRAIN_PROGRAM is \/nowhere\/program, which is not there; unset it/)
})

test('photos that the program does not read become PNG files of the same pixels in the run', async () => {
  mkdirSync(place.path('mixed'))
  const scene = sharp(place.path('demo/photos/00/0000.png'))
  await scene.clone().webp({ lossless: true }).toFile(place.path('mixed/webp.webp'))
  await scene.clone().ensureAlpha(0.5).png().toFile(place.path('mixed/clear.png'))
  await scene.clone().jpeg().withMetadata({ orientation: 6 }).toFile(place.path('mixed/turned.jpg'))
  copyFileSync(place.path('demo/photos/00/0001.png'), place.path('mixed/plain.png'))
  writeFileSync(place.path('mixed.txt'), 'webp cat\nclear cat\nturned cat\nplain dog\n')
  assert.is(place.run(['dataset', '--folder', 'mixed', '--labels', 'mixed.txt', '-o', 'mixed-masks', '--threads', '1']).status, 0)
  assert.is(place.run(['train', 'mixed-masks', ...short, '-o', 'mixed-run']).status, 0)
  const photos = new Map<string, string>(
    readJson('mixed-run/job.json').samples.map((s: { name: string; photo: string }) => [s.name, s.photo]),
  )
  assert.equal(Object.fromEntries(photos), {
    clear: place.path('mixed-run/photos/clear.png'),
    plain: place.path('mixed/plain.png'),
    turned: place.path('mixed/turned.jpg'), // masks are of the stored pixels, which the program reads
    webp: place.path('mixed-run/photos/webp.png'),
  })
  const pixels = (file: string) => sharp(file).removeAlpha().raw().toBuffer()
  assert.ok(
    (await pixels(join(place.folder, 'mixed-run/photos/webp.png'))).equals(await pixels(place.path('demo/photos/00/0000.png'))),
  )
})

test.run()
