// The command among what people do by mistake or meet by chance: odd names, earlier results, pipes, devices.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { canMakeDevices, isDevice, makeDevice } from '../device.js'
import { testIf } from '../test_if.js'
import { jsonLines, main, scenes, Workplace } from './support.js'

let place: Workplace
test.before.each(() => {
  place = new Workplace()
})
test.after.each(() => place.remove())

const scene = join(scenes, 'scene01.png')
const words = ['--classes', 'elephant,panda']
const segment = (...args: string[]) => place.run(['segment', ...args, ...words])
const photo = async (path: string) => await sharp(scene).jpeg().toFile(place.path(path))
const writeMap = async (path: string, values: number[], width: number) =>
  writeFileSync(place.path(path), await encodeMask(Uint8Array.from(values), { width, height: values.length / width }))

// ---------------------------------------------------------------- earlier results
test('results next to the photos keep their names, and are never taken for photos by glob, shell or folder', async () => {
  await photo('a.jpg')
  for (const args of [['*.jpg'], ['*'], ['a.jpg', 'a.png', 'a_overlay.png', 'segment.jsonl']]) {
    const { status, stderr } = segment(...args, '-o', '.', '--overlay', '--confidence')
    if (args[1]) assert.match(stderr, /left out, because clip-es wrote them and they are not photos: .*a\.png/)
    assert.is(status, 0, stderr)
    assert.equal(place.files('.'), ['a.jpg', 'a.png', 'a_confidence.png', 'a_overlay.png', 'segment.jsonl'])
  }
  const only = segment('a.png')
  assert.is(only.status, 1)
  assert.match(only.stderr, /a\.png: clip-es wrote it, so it is not a photo/)
  const elsewhere = segment('.', '-o', 'other')
  assert.is(elsewhere.status, 0, elsewhere.stderr)
  assert.equal(place.files('other'), ['a.png', 'segment.jsonl'])
})

test('results of dataset among its photos are not photos for dataset or segment', async () => {
  mkdirSync(place.path('set'))
  await photo('set/a.jpg')
  const args = ['dataset', '--folder', 'set', '--labels', 'auto', '--class-file', 'emoji', '--confidence', '-o', 'set/run']
  assert.match(place.run(args).stdout, /^1 photo to do/)
  assert.match(place.run(args).stdout, /^0 photos to do, 1 done before/)
  assert.match(place.run([...args.slice(0, -1), 'elsewhere']).stdout, /^1 photo to do/)
  const { stdout } = segment('set', '--json')
  assert.equal(
    jsonLines(stdout).map(({ path }) => String(path)),
    ['set/a.jpg'],
  )
})

test('a mask of another photo is not overwritten: by segment from another folder, by dataset from another set', async () => {
  for (const folder of ['one', 'two']) {
    mkdirSync(place.path(folder))
    await photo(`${folder}/x.jpg`)
    writeFileSync(place.path(`${folder}.csv`), 'x.jpg,cat\n')
  }
  const from = (folder: string) =>
    spawnSync(process.execPath, [main, 'segment', 'x.jpg', ...words, '-o', place.path('out')], {
      encoding: 'utf8',
      cwd: place.path(folder),
      env: place.env(),
    })
  assert.is(from('one').status, 0)
  assert.is(from('one').status, 0, 'the same photo again')
  const other = from('two')
  assert.is(other.status, 1)
  assert.match(other.stderr, /x\.jpg: its mask would overwrite .*out\/x\.png, the mask of .*one\/x\.jpg; choose another folder/)

  const set = (folder: string, ...more: string[]) =>
    place.run(['dataset', '--folder', folder, '--labels', `${folder}.csv`, '--class-file', 'emoji', '-o', 'set', ...more])
  assert.is(set('one').status, 0)
  const second = set('two')
  assert.is(second.status, 1)
  assert.match(second.stderr, /x: its results would overwrite those of .*one\/x\.jpg; choose another folder with --out/)
  assert.is(set('two', '--overwrite').status, 0)
  execFileSync('mv', [place.path('two'), place.path('moved')])
  writeFileSync(place.path('moved.csv'), 'x.jpg,cat\n')
  assert.match(set('moved').stdout, /^0 photos to do, 1 done before/, 'a photo that was moved is the same photo')
})

// ---------------------------------------------------------------- names
test('a photo name at the length limit works, and one whose result would be longer is refused before any work', async () => {
  const [longest, tooLong] = [`${'n'.repeat(251)}.jpg`, `${'m'.repeat(250)}.jpeg`]
  await photo(longest)
  await photo(tooLong)
  assert.is(segment(longest, '-o', 'o').status, 0)
  assert.equal(place.files('o'), [`${longest.slice(0, 251)}.png`, 'segment.jsonl'])
  const { status, stderr } = segment(tooLong, '-o', 'o', '--overlay')
  assert.is(status, 1)
  assert.match(stderr, /its result would be called m+_overlay\.png, which has 262 bytes; file systems take up to 255/)
})

test('a photo is found by its name in either Unicode form', async () => {
  mkdirSync(place.path('e\u0301'))
  await photo('e\u0301/e\u0301.jpg')
  const { status, stderr } = segment('\u00e9/\u00e9.jpg', '--json')
  assert.is(status, 0, stderr)
})

test('control characters in a name do not reach the terminal', async () => {
  await photo('a\u001b[2J\nb.jpg')
  writeFileSync(place.path('c\u001b[31m.jpg'), '')
  const { stdout, stderr } = segment('.', '-o', '../out-of-names')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
  assert.not.match(stdout + stderr, /\u001b/)
  assert.match(stdout, /^a\\u001b\[2J\\nb\.jpg: /m)
  assert.match(stderr, /c\\u001b\[31m\.jpg: it is empty/)
  execFileSync('rm', ['-r', join(place.folder, '../out-of-names')])
})

// ---------------------------------------------------------------- files that are none
test('a named pipe is refused wherever a file is read, and nothing hangs', async () => {
  execFileSync('mkfifo', [place.path('pipe')])
  execFileSync('mkfifo', [place.path('pipe.json')])
  await photo('a.jpg')
  mkdirSync(place.path('masks'))
  for (const args of [
    ['segment', 'pipe', ...words],
    ['segment', 'a.jpg', '--class-file', 'pipe'],
    ['dataset', '--folder', '.', '--labels', 'pipe.json', '--class-file', 'emoji'],
    ['dataset', '--coco', '.', '--annotations', 'pipe.json'],
    ['eval', 'masks', '--truth', 'pipe.json', '--list', 'pipe', '--class-file', 'voc'],
    ['prompts', '--folder', '.', '--labels', 'a.csv', '--class-file', 'emoji', '--templates', 'pipe'],
  ]) {
    const { status, stderr, signal } = spawnSync(process.execPath, [main, ...args], {
      encoding: 'utf8',
      cwd: place.folder,
      env: place.env(),
      timeout: 60_000,
    })
    assert.is(signal, null, `${args.join(' ')} hangs`)
    assert.ok(status === 1 || status === 2, `${status} ${stderr}`)
    assert.match(stderr, /it is a named pipe; only regular files are read/, args.join(' '))
  }
})

/** Evaluates a mask against itself. */
async function evaluateTo(out: string) {
  mkdirSync(place.path('m'), { recursive: true })
  await writeMap('m/a.png', [0, 1, 1, 0], 2)
  return place.run(['eval', 'm', '--truth', 'm', '--class-file', 'voc', '--out', out])
}

const deviceTest = testIf(canMakeDevices(), '--out names a device: this user may not make one')

deviceTest('a device named with --out is refused and stays', async () => {
  assert.ok(makeDevice(place.path('null')))
  const { status, stderr } = await evaluateTo('null')
  assert.is(status, 1)
  assert.match(stderr, /cannot write .*null \(null is a device; only regular files are replaced\)/)
  assert.ok(isDevice(place.path('null')))
})

test('a pipe named with --out is refused, and a link is written through', async () => {
  execFileSync('mkfifo', [place.path('pipe')])
  assert.match((await evaluateTo('pipe')).stderr, /cannot write .*pipe \(pipe is a named pipe; only regular files are replaced\)/)
  assert.ok(lstatSync(place.path('pipe')).isFIFO())
  symlinkSync('real.json', place.path('link.json'))
  assert.is((await evaluateTo('link.json')).status, 0)
  assert.ok(lstatSync(place.path('link.json')).isSymbolicLink())
  assert.is(JSON.parse(readFileSync(place.path('real.json'), 'utf8')).images, 1)
})

// ---------------------------------------------------------------- what is said
test('pictures in formats that cannot be read are named, as an argument and in a folder', async () => {
  mkdirSync(place.path('d'))
  await photo('d/a.jpg')
  const ftyp = Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1')
  writeFileSync(place.path('d/IMG_1.HEIC'), Buffer.concat([ftyp, Buffer.alloc(100)]))
  writeFileSync(place.path('d/b.cr2'), '')
  const { status, stderr } = segment('d')
  assert.is(status, 0)
  assert.match(stderr, /left out, because \.cr2, \.heic files are not read; convert them .*: d\/IMG_1\.HEIC, d\/b\.cr2/)
  const named = segment('d/IMG_1.HEIC')
  assert.is(named.status, 1)
  assert.match(named.stderr, /it is a HEIC file \(HEIF with HEVC\), which is not read; convert it to JPEG first/)
})

test('a web address and standard input are refused with the remedy', () => {
  const web = segment('https://example.org/photo.jpg')
  assert.is(web.status, 1)
  assert.match(web.stderr, /it is a web address, and photos are not downloaded; name a file/)
  assert.match(segment('-').stderr, /photos are not read from standard input; name a file/)
})

test('photos whose names have brackets, blanks, percent and number signs are segmented', async () => {
  const names = ['photo (1).jpg', 'photo[1].jpg', '100% #1?.jpg', '{a,b}.jpg']
  for (const name of names) await photo(name)
  const { status, stderr } = segment(...names, '-o', 'out')
  assert.is(status, 0, stderr)
  assert.equal(place.files('out'), [...names.map((name) => name.replace('.jpg', '.png')), 'segment.jsonl'].sort())
})

test('the line of a photo has the share of ignored pixels', () => {
  const all = segment(scene, '--ignore-below', '1').stdout
  assert.match(all, /: 100 % ignored; /)
  assert.not.match(all, /nothing found/)
  const some = segment(scene, '--ignore-below', '0.6').stdout
  assert.match(some, / % \(score [^)]+\), [\d.]+ % ignored; /)
  assert.not.match(segment(scene).stdout, /ignored/)
  copyFileSync(scene, place.path('a.png'))
  writeFileSync(place.path('l.csv'), 'a,elephant\n')
  const set = ['dataset', '--folder', '.', '--labels', 'l.csv', '--class-file', 'emoji', '--ignore-below', '1', '-o', 'o']
  assert.match(place.run(set).stdout, /a: elephant, 100 % ignored \(/)
  assert.is(segment('a.png', '--cams', '-o', 'maps').status, 0)
  assert.match(place.run(['crf', 'maps', '--ignore-below', '1', '-o', 'crf']).stdout, /a: 2 maps, [\d.]+ % ignored \(/)
})

test('an option that is given twice is refused, unless it is a list', () => {
  const twice = place.run(['segment', scene, '--classes', 'elephant', '--classes', 'panda'])
  assert.is(twice.status, 2)
  assert.match(twice.stderr, /segment: --classes is given twice; give it once, with all its words separated by commas/)
  assert.match(place.run(['eval', '--out', 'a', '-o', 'b']).stderr, /eval: --out is given twice; give it once\n/)
  assert.is(segment(scene, '--template', 'a {}', '--template', 'the {}', '--json', '--json').status, 0)
})

test('a class name with a comma stands in quotes', () => {
  const { status, stdout, stderr } = place.run(['segment', scene, '--classes', '"panda, black",elephant, "a ""b"""', '--json'])
  assert.is(status, 0, stderr)
  const [line] = jsonLines(stdout) as never as [{ labels: { name: string }[] }]
  assert.equal(
    line.labels.map(({ name }) => name),
    ['panda, black', 'elephant', 'a "b"'],
  )
  for (const wrong of ['"cat,dog', '"cat"s,dog'])
    assert.match(
      place.run(['segment', scene, '--classes', wrong]).stderr,
      /Put a word with a comma into double quotes, and write a quote in it twice/,
    )
})

// ---------------------------------------------------------------- terminals
const hasScript = spawnSync('script', ['--version']).status === 0
const terminalTest = testIf(hasScript, 'TERM=dumb: there is no script command to make a terminal')

terminalTest('a terminal that cannot move its cursor gets lines and no bar', () => {
  for (const name of ['a.png', 'b.png']) copyFileSync(scene, place.path(name))
  const command = [process.execPath, main, 'segment', '*.png', ...words, '-o', 'o'].join(' ')
  const { stdout, status } = spawnSync('script', ['-qec', command, '/dev/null'], {
    encoding: 'utf8',
    cwd: place.folder,
    env: place.env({ TERM: 'dumb' }),
  })
  assert.is(status, 0, stdout)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
  assert.not.match(stdout, /\u001b/)
  assert.match(stdout, /a\.png: .*\r\nb\.png: /)
})

test.run()
