// readPhoto(): its sources, options and errors. What the command does with photos of all formats is tested in e2e.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/core/errors.js'
import { photoExtensions, type ReadPhotoOptions, readPhoto } from '../../ts/photos/read_photo.js'
import type { FileSource } from '../../ts/photos/source.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-'))
const file = join(folder, 'turned.png')
/** Two pixels, red above blue, which EXIF orientation 6 turns so that blue is left. */
const pixels = Buffer.from([255, 0, 0, 0, 0, 255])

test.before(async () => {
  const image = sharp(pixels, { raw: { width: 1, height: 2, channels: 3 } }).withMetadata({ orientation: 6 })
  writeFileSync(file, await image.png().toBuffer())
})
test.after(() => rmSync(folder, { recursive: true }))

async function refused(source: FileSource, message: RegExp, options?: ReadPhotoOptions): Promise<void> {
  const error = await readPhoto(source, options).then(
    () => assert.unreachable(),
    (reason: unknown) => reason,
  )
  assert.instance(error, ClipEsError)
  assert.is((error as ClipEsError).code, 'ERR_INVALID_ARG')
  assert.match((error as ClipEsError).message, message)
}

test('a path, a file URL and the bytes of a file give the same pixels', async () => {
  for (const source of [file, pathToFileURL(file), readFileSync(file), new Uint8Array(readFileSync(file))]) {
    const { data, width, height, pages } = await readPhoto(source)
    assert.equal([width, height, pages], [2, 1, 1])
    assert.equal([...data], [0, 0, 255, 255, 0, 0])
  }
})

test('EXIF orientation can be ignored', async () => {
  const { data, width, height } = await readPhoto(file, { orientation: 'ignored' })
  assert.equal([width, height], [1, 2])
  assert.equal([...data], [...pixels])
})

test('grey photos become RGB, and transparent pixels white', async () => {
  const grey = await sharp({ create: { width: 1, height: 1, channels: 3, background: '#808080' } })
    .toColourspace('b-w')
    .png()
    .toBuffer()
  assert.equal([...(await readPhoto(grey)).data], [128, 128, 128])
  const hidden = await sharp(Buffer.from([9, 9, 9, 0]), { raw: { width: 1, height: 1, channels: 4 } })
    .png()
    .toBuffer()
  assert.equal([...(await readPhoto(hidden)).data], [255, 255, 255])
})

test('errors begin with the name of the file, or with "the image" for bytes, and keep their cause', async () => {
  const exactly = (text: string) => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`)
  await refused(join(folder, 'none.png'), exactly(`${join(folder, 'none.png')}: there is no such file`))
  await refused(join(file, 'none.png'), /none\.png: it cannot be read \(ENOTDIR: .+\)$/)
  const readable = 'JPEG, PNG, WebP, AVIF and TIFF files are read'
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>')
  await refused(svg, exactly(`the image: it is a SVG file; ${readable}: convert it first`))
  const floats = await sharp(Buffer.alloc(12), { raw: { width: 1, height: 1, channels: 3 } })
    .toColourspace('scrgb')
    .tiff({ compression: 'none' })
    .toBuffer()
  await refused(
    floats,
    exactly(
      'the image: its channels are of the type float, whose black and white are not known; save it with 8 or 16 bits a channel',
    ),
  )
  const noise = Buffer.from(Array.from({ length: 3 * 40 * 40 }, (_, i) => (i * i * 7919) % 251))
  const png = await sharp(noise, { raw: { width: 40, height: 40, channels: 3 } })
    .png()
    .toBuffer()
  await refused(png.subarray(0, png.length / 2), /^the image: it is damaged \([^\n]+\)$/)
  await refused(folder, /: it is a folder; only regular files are read$/)
  await refused(file, /turned\.png: it has 1 x 2 pixels, more than 0\.000001 million; reduce it first$/, { maxPixels: 1 })
  await refused(Buffer.from('text'), /^the image: it is not an image, or a damaged one \(.+\); JPEG, PNG, WebP, AVIF and TIFF/)
  await refused(new Uint8Array(), /^the image: it is empty$/)
  const error = await readPhoto(join(folder, 'none.png')).catch((reason: Error) => reason)
  assert.is(((error as Error).cause as NodeJS.ErrnoException).code, 'ENOENT')
})

test('the error for a wrong argument names it', async () => {
  await refused(7 as unknown as string, /^readPhoto\(\): source is 7; expected a path or a file URL$/)
  await refused(new URL('https://example.org/a.jpg'), /download the file and pass its path or file URL/)
  await refused(file, /^readPhoto\(\): unknown option 'maxPixel'; did you mean 'maxPixels'\?/, {
    maxPixel: 1,
  } as ReadPhotoOptions)
  await refused(file, /^readPhoto\(\): maxPixels is 0; expected a number from 1 to 9007199254740991$/, { maxPixels: 0 })
  await refused(file, /^readPhoto\(\): unknown orientation 'ignore'; did you mean 'ignored'\?/, {
    orientation: 'ignore' as 'ignored',
  })
})

test('a photo has as many pixels as are allowed, and a page is told to be one of several', async () => {
  assert.is((await readPhoto(file, { maxPixels: 2 })).width, 2)
  const pages = await sharp(Buffer.from([0, 0, 0, 0, 0, 0, 255, 255, 255, 0, 0, 0]), {
    raw: { width: 1, height: 4, channels: 3, pageHeight: 2 },
  })
    .webp({ lossless: true })
    .toBuffer()
  const { width, height, pages: count } = await readPhoto(pages)
  assert.equal([width, height, count], [1, 2, 2])
})

test('a file that may not be read is told apart from one that is not there', async () => {
  const closed = join(folder, 'closed.png')
  writeFileSync(closed, '')
  chmodSync(folder, 0o755)
  chmodSync(closed, 0)
  const user = process.geteuid?.() ?? 0
  if (user === 0) process.seteuid?.(65534) // root may read every file
  const error = await readPhoto(closed).catch((reason: Error) => reason)
  process.seteuid?.(user)
  assert.is((error as Error).message, `${closed}: it may not be read: its permissions forbid it`)
})

test('the extensions of what is read, and files of phones that are not', async () => {
  assert.equal(photoExtensions, ['.jpg', '.jpeg', '.png', '.webp', '.avif', '.tif', '.tiff'])
  const message = /^the image: it is a HEIC file \(HEIF with HEVC\), which is not read; convert it to JPEG first$/
  const box = (...brands: string[]) => {
    const size = Buffer.alloc(4)
    size.writeUInt32BE(8 + 4 * brands.length)
    return Buffer.concat([size, Buffer.from(`ftyp${brands.join('')}`), Buffer.from('mdatheic')])
  }
  for (const brand of ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs']) {
    await refused(box(brand), message)
    await refused(box('mif1', '\0\0\0\0', brand), message)
  }
  await refused(box('mif1', 'avif', 'heic'), /it is not an image/)
  await refused(box('mif1'), /it is not an image/)
  await refused(box(...Array.from({ length: 61 }, () => 'mif1'), 'heic'), message)
  await refused(box(...Array.from({ length: 62 }, () => 'mif1'), 'heic'), /it is not an image/)
})

test('an abort rejects with its reason, before and while a file is read', async () => {
  const reason = new Error('enough')
  const rejected = async (signal: AbortSignal) => {
    const error = await readPhoto(file, { signal }).catch((caught: unknown) => caught)
    assert.is(error, reason)
  }
  await rejected(AbortSignal.abort(reason))
  const controller = new AbortController()
  const reading = rejected(controller.signal)
  controller.abort(reason)
  await reading
})

test.run()
