// Reading and writing files: what is refused, what is kept, and how names are compared. Needs no model.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existingPath } from '../../cli/src/files/existing.js'
import { walk } from '../../cli/src/files/walk.js'
import { ResultStore, resultFile } from '../../cli/src/results/store.js'
import { oneLine, printable } from '../../cli/src/shared/say.js'
import { readRegular, readRegularSync } from '../../ts/files/read_regular.js'
import { checkNameLength, writeAllWhole, writeWhole } from '../../ts/files/write_whole.js'
import { encodeConfidence } from '../../ts/photos/confidence_png.js'
import { ownPicture, photoOfMask, sourceOfMask } from '../../ts/photos/mark.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { drawOverlay } from '../../ts/photos/overlay.js'
import { readPhoto } from '../../ts/photos/read_photo.js'
import { canMakeDevices, isDevice, makeDevice } from '../device.js'
import { testIf } from '../test_if.js'

let folder = ''
test.before.each(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'clip-es-files-')))
})
test.after.each(() => rmSync(folder, { recursive: true, force: true }))

const at = (...parts: string[]): string => join(folder, ...parts)
const pipe = (name: string): string => {
  execFileSync('mkfifo', [at(name)])
  return at(name)
}

test('only regular files are read: a pipe, a socket, a folder and a device are refused by their kind', async () => {
  const socket = at('socket')
  const server = createServer().listen(socket)
  await once(server, 'listening')
  writeFileSync(at('file'), 'text')
  symlinkSync('file', at('link'))
  assert.is(readRegularSync(at('link')).toString(), 'text')
  assert.is((await readRegular(at('link'))).toString(), 'text')
  for (const [path, kind] of [
    [pipe('pipe'), 'a named pipe'],
    [folder, 'a folder'],
    [socket, 'a socket'],
    ['/dev/null', 'a device'],
  ] as const) {
    assert.throws(() => readRegularSync(path), `it is ${kind}; only regular files are read`)
    await readRegular(path).then(
      () => assert.unreachable(),
      (error: Error) => assert.is(error.message, `it is ${kind}; only regular files are read`),
    )
    await readPhoto(path).then(
      () => assert.unreachable(),
      (error: Error) => assert.is(error.message, `${path}: it is ${kind}; only regular files are read`),
    )
  }
  server.close()
})

test('a link is written through, also one to a file that is not there yet', () => {
  mkdirSync(at('elsewhere'))
  writeFileSync(at('elsewhere/old'), 'old')
  symlinkSync('elsewhere/old', at('a'))
  symlinkSync('a', at('b'))
  symlinkSync('elsewhere/new', at('c'))
  writeWhole(at('b'), 'through two links')
  writeWhole(at('c'), 'new')
  assert.ok(lstatSync(at('a')).isSymbolicLink() && lstatSync(at('b')).isSymbolicLink() && lstatSync(at('c')).isSymbolicLink())
  assert.is(readFileSync(at('elsewhere/old'), 'utf8'), 'through two links')
  assert.is(readFileSync(at('elsewhere/new'), 'utf8'), 'new')
  assert.equal(readdirSync(at('elsewhere')), ['new', 'old'])
})

test('several files are written whole or not at all, and a loop of links is an error', () => {
  mkdirSync(at('partial'))
  writeAllWhole(
    [
      [at('a/b/1'), 'one'],
      [at('2'), Buffer.from('two')],
    ],
    at('partial'),
  )
  assert.equal([readFileSync(at('a/b/1'), 'utf8'), readFileSync(at('2'), 'utf8'), readdirSync(at('partial'))], ['one', 'two', []])
  assert.throws(() => writeAllWhole([[at('none/1'), 'x']]), /ENOENT/)
  assert.not(existsSync(at('none')), 'folders are made only with a folder for unfinished files')
  symlinkSync('loop', at('loop'))
  assert.throws(() => writeWhole(at('loop'), 'x'), /ELOOP/)
  for (let i = 0; i < 40; i++) symlinkSync(i ? `link${i - 1}` : '2', at(`link${i}`))
  writeWhole(at('link38'), 'through 39 links')
  assert.is(readFileSync(at('2'), 'utf8'), 'through 39 links')
  assert.equal(readdirSync(at('partial')), [])
})

function neverReplaced(path: string, kind: string): void {
  assert.throws(() => writeWhole(path, 'x'), `${path} is ${kind}; only regular files are replaced`)
  assert.throws(() => writeAllWhole([[path, Buffer.from('x')]], folder), `${path} is ${kind}; only regular files are replaced`)
}

test('what is not a regular file is never replaced, whether it is named or linked', () => {
  symlinkSync('pipe', at('to-pipe'))
  mkdirSync(at('sub'))
  for (const [path, kind] of [
    [pipe('pipe'), 'a named pipe'],
    [at('to-pipe'), 'a named pipe'],
    [at('sub'), 'a folder'],
  ] as const)
    neverReplaced(path, kind)
  assert.ok(lstatSync(at('pipe')).isFIFO())
  assert.equal(readdirSync(folder).sort(), ['pipe', 'sub', 'to-pipe'])
})

const deviceTest = testIf(canMakeDevices(), 'writing onto a device: this user may not make one')

deviceTest('a device is never replaced, whether it is named or linked', () => {
  assert.ok(makeDevice(at('null')))
  symlinkSync('null', at('to-null'))
  for (const path of [at('null'), at('to-null')]) neverReplaced(path, 'a device')
  assert.ok(isDevice(at('null')))
  assert.equal(readdirSync(folder).sort(), ['null', 'to-null'])
})

test("a name can have the file system's maximum length, and a longer one is refused with both lengths", () => {
  const longest = `${'n'.repeat(251)}.png`
  writeWhole(at(longest), 'x')
  assert.equal(readdirSync(folder), [longest])
  checkNameLength(at(longest))
  const longer = `é${longest.slice(1)}`
  assert.throws(
    () => checkNameLength(at(longer)),
    (error: Error) =>
      error.message ===
      `its result would be called ${longer}, which has 256 bytes; file systems take up to 255: give the photo a shorter name`,
  )
})

test('an empty file is not a result', () => {
  const store = new ResultStore(folder, '1-of-1')
  store.save('x', new Map([['mask', Buffer.from('m')]] as const))
  assert.ok(store.has('x', ['mask']))
  writeFileSync(resultFile(folder, 'mask', 'x'), '')
  assert.not(store.has('x', ['mask']))
  assert.throws(() => store.check('n'.repeat(252), ['mask']), /has 256 bytes/)
  store.check('n'.repeat(251), ['mask', 'cams', 'confidence'])
})

test('a result that is a link stays a link, and a pipe is refused', () => {
  const store = new ResultStore(folder, '1-of-1')
  for (const name of ['masks', 'kept']) mkdirSync(at(name))
  symlinkSync('../kept/x.png', at('masks/x.png'))
  symlinkSync('../pipe', at('masks/y.png'))
  pipe('pipe')
  store.save('x', new Map([['mask', Buffer.from('m')]] as const))
  assert.is(readFileSync(at('kept/x.png'), 'utf8'), 'm')
  assert.throws(() => store.save('y', new Map([['mask', Buffer.from('m')]] as const)), /y\.png is a named pipe/)
  assert.ok(lstatSync(at('pipe')).isFIFO())
})

const [composed, decomposed] = ['\u00e9', 'e\u0301']

test('a path is found in either Unicode form of its names', () => {
  mkdirSync(at(decomposed))
  writeFileSync(at(decomposed, `${composed}.png`), '')
  for (const a of [composed, decomposed])
    for (const b of [composed, decomposed])
      assert.is(existingPath(at(a, `${b}.png`)), at(decomposed, `${composed}.png`), JSON.stringify([a, b]))
  assert.is(existingPath(at(composed, 'è.png')), undefined)
  assert.is(existingPath(at('none')), undefined)
})

test('a walk follows links to folders, stops at cycles, and leaves out folders with results', () => {
  for (const path of ['a', 'elsewhere/deep', 'run/journal', 'run/masks', 'out']) mkdirSync(at(path), { recursive: true })
  for (const path of ['a/1.png', 'elsewhere/deep/2.png', 'run/masks/3.png', 'out/4.png']) writeFileSync(at(path), '')
  writeFileSync(at('run/journal/1-of-1.jsonl'), '')
  symlinkSync('../elsewhere', at('a/linked'))
  symlinkSync('..', at('a/up'))
  execFileSync('mkfifo', [at('a/pipe.png')])
  const files = (path: string, skip?: string) => walk(at(path), skip).files.map((file) => file.slice(folder.length + 1))
  assert.equal(files('a', at('out')), ['a/1.png', 'a/linked/deep/2.png', 'a/up/elsewhere/deep/2.png'])
  assert.equal(files('run'), ['run/journal/1-of-1.jsonl', 'run/masks/3.png'], 'the folder asked for is walked')
  assert.equal(files('.'), ['a/1.png', 'a/linked/deep/2.png', 'elsewhere/deep/2.png', 'out/4.png'])
})

test('masks, overlays and confidence maps are recognised, and a mask names its photo', async () => {
  const image = { data: new Uint8Array(12).fill(9), width: 4, height: 3 }
  const mask = new Uint8Array(12)
  mkdirSync(at('photos'))
  mkdirSync(at('out'))
  const photo = at('photos', 'ünd 100%.jpg')
  writeFileSync(photo, '')
  const source = sourceOfMask(photo, at('out/mask.png'))
  writeFileSync(at('out/mask.png'), await encodeMask(mask, { width: 4, height: 3, photo: source }))
  writeFileSync(at('overlay.png'), await drawOverlay(image, mask, []))
  writeFileSync(at('confidence.png'), await encodeConfidence(new Float32Array(12), 4, 3))
  assert.is(ownPicture(at('out/mask.png')), 'mask')
  assert.is(ownPicture(at('overlay.png')), 'overlay')
  assert.is(ownPicture(at('confidence.png')), 'confidence')
  assert.is(photoOfMask(at('out/mask.png')), photo)
  assert.is(photoOfMask(at('overlay.png')), undefined)
  for (const name of ['out/mask.png', 'overlay.png', 'confidence.png']) await readPhoto(at(name))
  const scene = join(__dirname, '../../models/scenes/scene01.png')
  assert.is(ownPicture(scene), undefined)
  assert.is(ownPicture(pipe('pipe.png')), undefined)
})

test('control characters of names do not reach the terminal', () => {
  assert.is(printable('a\u001b[2Jb\u009bc\u202ed\r\ne\tü'), 'a\\u001b[2Jb\\u009bc\\u202ed\\u000d\ne\tü')
  assert.is(oneLine('a\nb\tc'), 'a\\nb\\tc')
  assert.equal(JSON.parse(printable(JSON.stringify({ path: 'x\u009b\u001b' }))), { path: 'x\u009b\u001b' })
})

test.run()
