// readPhoto(): its sources, options and errors. What the command does with photos of all formats is tested in e2e.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/core/errors.js'
import { type ReadPhotoOptions, readPhoto } from '../../ts/photos/read_photo.js'
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
  await refused(join(folder, 'none.png'), /none\.png: there is no such file$/)
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
  await refused(file, /^readPhoto\(\): maxPixels is 0/, { maxPixels: 0 })
  await refused(file, /^readPhoto\(\): unknown orientation 'ignore'; did you mean 'ignored'\?/, {
    orientation: 'ignore' as 'ignored',
  })
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
