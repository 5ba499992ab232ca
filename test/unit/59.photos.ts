// Which photos arguments name, and where their results go.
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findPhotos } from '../../cli/src/photos/find.js'
import { placeResults } from '../../cli/src/photos/places.js'
import { leftOutNotes } from '../../cli/src/photos/sort_out.js'
import { encodeMask } from '../../ts/photos/mask_png.js'

const before = process.cwd()
let folder = ''

/** Files without content, at paths from the working folder. */
function make(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), '')
  }
}

test.before.each(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'clip-es-photos-')))
  mkdirSync(join(folder, 'here'))
  folder = join(folder, 'here')
  process.chdir(folder)
})
test.after.each(() => {
  process.chdir(before)
  rmSync(dirname(folder), { recursive: true, force: true })
})

async function paths(args: string[], out = 'clip-es-out'): Promise<string[]> {
  return (await findPhotos(args, out)).photos.map(({ path }) => path)
}

async function reasons(args: string[]): Promise<string[]> {
  return (await findPhotos(args, 'clip-es-out')).notFound.map(({ path, reason }) => `${path}: ${reason}`)
}

/** Where the masks of what the arguments name would be. */
async function masks(args: string[], out = 'out'): Promise<(string | undefined)[]> {
  const { photos, walked } = await findPhotos(args, out)
  return placeResults(photos, walked, out).map((placed) => ('places' in placed ? placed.places.mask : undefined))
}

async function placeError(args: string[], out: string): Promise<string> {
  try {
    await masks(args, out)
    return 'no error'
  } catch (error) {
    return (error as Error).message
  }
}

// ---------------------------------------------------------------- which photos
test('a folder gives its photos by extension in any case, sorted, without hidden files and folders', async () => {
  make(
    'p/b.JPG',
    'p/a.jpeg',
    'p/deep/er/c.webp',
    'p/d.avif',
    'p/e.tif',
    'p/f.TIFF',
    'p/g.png',
    'p/.h.png',
    'p/.i/j.png',
    'p/k.txt',
    'p/l',
  )
  assert.equal(await paths(['p']), ['p/a.jpeg', 'p/b.JPG', 'p/d.avif', 'p/deep/er/c.webp', 'p/e.tif', 'p/f.TIFF', 'p/g.png'])
  assert.equal(await paths(['p/deep/']), ['p/deep/er/c.webp'])
})

test('a named file is taken with any name, and no file twice', async () => {
  make('p/a.png', 'p/odd', 'p/b [1].png')
  assert.equal(await paths(['p/odd', 'p/b [1].png', './p/odd', join(folder, 'p/odd'), 'p']), ['p/odd', 'p/b [1].png', 'p/a.png'])
})

test('links are followed, and a link to a parent folder does not loop', async () => {
  make('p/a.png', 'elsewhere/b.png')
  symlinkSync('../elsewhere', 'p/linked')
  symlinkSync('../elsewhere/b.png', 'p/c.png')
  symlinkSync('..', 'p/up')
  symlinkSync('nowhere.png', 'p/broken.png')
  symlinkSync('nowhere', 'p/broken')
  assert.equal(await paths(['p']), [
    'p/a.png',
    'p/broken.png', // reading it will tell
    'p/c.png',
    'p/linked/b.png',
    'p/up/elsewhere/b.png',
  ])
})

test('globs that no shell expanded find photos, and walk the folders that they match', async () => {
  make('a/x.jpg', 'a/y.png', 'a/n.txt', 'b/x.jpg', 'b/c/z.jpg', '.d/w.jpg')
  assert.equal(await paths(['*/x.jpg']), ['a/x.jpg', 'b/x.jpg'])
  assert.equal(await paths(['a/*']), ['a/x.jpg', 'a/y.png'])
  assert.equal(await paths(['**/*.jpg']), ['a/x.jpg', 'b/c/z.jpg', 'b/x.jpg'])
  assert.equal(await paths(['*']), ['a/x.jpg', 'a/y.png', 'b/c/z.jpg', 'b/x.jpg'])
  assert.equal(await paths(['a/{x,y}.*']), ['a/x.jpg', 'a/y.png'])
  assert.equal(await paths([join(folder, 'b/*.jpg')]), ['b/x.jpg'])
  assert.equal(await paths(['../here/b/*.jpg']), ['b/x.jpg'])
})

test('results of an earlier run are not photos, unless an argument names them', async () => {
  make('a/x.jpg', 'clip-es-out/a/x.png')
  assert.equal(await paths(['.']), ['a/x.jpg'])
  assert.equal(await paths(['**/*']), ['a/x.jpg'])
  assert.equal(await paths(['*']), ['a/x.jpg'])
  assert.equal(await paths(['clip-es-out/a/x.png']), ['clip-es-out/a/x.png'])
  assert.equal(await paths(['clip-es-out/**/*.png']), ['clip-es-out/a/x.png'])
  assert.equal(await paths(['clip-es-out']), ['clip-es-out/a/x.png'], 'the folder itself')
  assert.equal(await paths(['a/*'], '.'), ['a/x.jpg'], 'a glob in the folder for results')
})

test('a missing argument is named with the reason', async () => {
  make('empty/n.txt', 'p/a.png')
  assert.equal(await reasons(['absent.jpg', 'p']), ['absent.jpg: there is no such file or folder'])
  assert.match((await reasons(['empty']))[0] as string, /^empty: there is no photo in it \(\.jpg, .+\)$/)
  assert.match((await reasons(['empty/*.jpg']))[0] as string, /^empty\/\*\.jpg: no photo matches this pattern \(\.jpg, .+\)$/)
  assert.match((await reasons(['p/a.png/b.png']))[0] as string, /b\.png: there is no such file or folder$/)
  const extensions = '.jpg, .jpeg, .png, .webp, .avif, .tif, .tiff'
  const downloaded = 'it is a web address, and photos are not downloaded; name a file'
  for (const [arg, reason] of [
    ['-', 'photos are not read from standard input; name a file'],
    ['http://x/a.jpg', downloaded],
    ['HTTPS://x/a.jpg', downloaded],
    ['xhttp://x', 'there is no such file or folder'],
    ['empty', `there is no photo in it (${extensions})`],
    ['empty/*.jpg', `no photo matches this pattern (${extensions})`],
  ] as const)
    assert.equal(await reasons([arg]), [`${arg}: ${reason}`])
  assert.equal((await findPhotos(['p', 'p/a.png', 'p/*.png', 'absent', 'empty'], 'out')).walked, ['p', 'empty'])
})

test('a subfolder that cannot be listed is named, and the other photos are found', async () => {
  make('p/a.png', 'p/closed/b.png')
  chmodSync(dirname(folder), 0o755)
  chmodSync('p/closed', 0)
  const user = process.geteuid?.() ?? 0
  if (user === 0) process.seteuid?.(65534) // root may list every folder
  const found = await findPhotos(['p'], 'clip-es-out')
  process.seteuid?.(user)
  chmodSync('p/closed', 0o755)
  assert.equal(
    found.photos.map(({ path }) => path),
    ['p/a.png'],
  )
  assert.is(found.notFound[0]?.path, 'p/closed')
  assert.match(found.notFound[0]?.reason as string, /^EACCES/)
})

// ---------------------------------------------------------------- where results go
test('results lie under the path of the photo, so that equal names in two folders do not meet', async () => {
  make('a/x.jpg', 'b/x.jpg', 'y.png')
  assert.equal(await masks(['.']), ['out/a/x.png', 'out/b/x.png', 'out/y.png'])
  const [placed] = placeResults((await findPhotos(['a'], 'out')).photos, ['a'], 'out')
  assert.equal(placed && 'places' in placed && placed.places, {
    mask: 'out/a/x.png',
    overlay: 'out/a/x_overlay.png',
    confidence: 'out/a/x_confidence.png',
    cams: 'out/a/x.npz',
  })
})

test('photos with equal names and different extensions keep the extensions, in one run and over two', async () => {
  make('a/x.jpg', 'a/x.png', 'a/y.jpg')
  assert.equal(await masks(['a']), ['out/a/x.jpg.png', 'out/a/x.png.png', 'out/a/y.png'])
  assert.equal(await masks(['a/x.jpg']), ['out/a/x.jpg.png'])
  assert.equal(await masks(['a/x.png']), ['out/a/x.png.png'])
})

test("masks among photos are not photos, and do not change a photo's result name", async () => {
  make('a/x.jpg', 'b/y.jpg')
  for (const name of ['a/x.png', 'a/x_overlay.png'])
    writeFileSync(name, await encodeMask(new Uint8Array(1), { width: 1, height: 1 }))
  assert.equal(await masks(['a/x.jpg'], '.'), ['a/x.png'])
  assert.equal(await paths(['a']), ['a/x.jpg'])
  assert.equal(await paths(['a/*']), ['a/x.jpg'])
  const found = await findPhotos(['a/x.jpg', 'a/x.png', 'b', 'a/*.png'], 'out')
  assert.equal(
    found.photos.map(({ path }) => path),
    ['a/x.jpg', 'b/y.jpg'],
  )
  assert.equal(leftOutNotes(found.leftOut), [
    'left out, because clip-es wrote them and they are not photos: a/x.png, a/x_overlay.png',
  ])
  assert.equal(await reasons(['a/x.png']), ['a/x.png: clip-es wrote it, so it is not a photo'])
  assert.equal(await reasons(['a/x.png', 'absent']), ['absent: there is no such file or folder'])
  assert.equal(await reasons(['a/x.png', 'b/y.jpg']), [], 'it is told only where there is no photo at all')
  make('b/segment.jsonl')
  assert.equal((await findPhotos(['b/segment.jsonl', 'b/y.jpg'], 'out')).leftOut.own, ['b/segment.jsonl'])
})

test('only one of two photos whose names differ in Unicode form has a result', async () => {
  make('\u00e9.jpg', 'e\u0301.jpg')
  const found = await masks(['.'])
  assert.equal(found.filter((mask) => mask === undefined).length, 1)
})

test("a photo whose name equals another photo's overlay or confidence file keeps its extension", async () => {
  make('x.jpg', 'x_overlay.jpg', 'x_confidence.jpg', 'z_overlay.jpg')
  assert.equal(await masks(['.']), ['out/x.png', 'out/x_confidence.jpg.png', 'out/x_overlay.jpg.png', 'out/z_overlay.png'])
  make('x_another.jpg', 'x_confident_.jpg')
  assert.equal(await masks(['x_another.jpg', 'x_confident_.jpg']), ['out/x_another.png', 'out/x_confident_.png'])
})

test('outside the working folder results lie under the whole path', async () => {
  make('../there/x.jpg', 'x.jpg')
  const whole = join(dirname(folder), 'there/x').slice(1)
  assert.equal(await masks(['../there', 'x.jpg']), [`out/${whole}.png`, 'out/x.png'])
  assert.equal(await masks([join(folder, 'x.jpg')]), ['out/x.png'], 'an absolute path to a photo inside')
})

test('if two results would still have the same name, the second photo has none', async () => {
  make('x.jpg', 'x.png', 'x.jpg.webp')
  assert.equal(await masks(['.']), ['out/x.jpg.png', undefined, 'out/x.png.png'])
  const { photos, walked } = await findPhotos(['.'], 'out')
  const [first, second] = placeResults(photos, walked, 'out')
  assert.equal(second, { photo: photos[1], takenBy: first?.photo })
})

test('a result never overwrites a photo', async () => {
  make('a/x.png', 'a/y.jpg')
  assert.is(
    await placeError(['a/x.png'], '.'),
    `a result of a/x.png would overwrite the photo ${join(folder, 'a/x.png')}: choose another folder with --out`,
  )
  assert.equal(await masks(['a/y.jpg'], '.'), ['a/y.png'])
  make('a/y.png')
  assert.equal(await masks(['a/y.jpg'], '.'), ['a/y.jpg.png'], 'nor one that is not worked on')
  symlinkSync('.', 'same')
  assert.match(await placeError(['a/x.png'], 'same'), /would overwrite the photo/)
})

test('results are not written among the photos of a folder that is walked', async () => {
  make('a/x.jpg', 'a/b/y.jpg')
  for (const [args, out] of [
    [['.'], '.'],
    [['a'], '.'],
    [['a'], 'a'],
  ] as const)
    assert.is(
      await placeError([...args], out),
      `the results would be written among the photos of ${args[0]}, and the next run would segment them, too: choose another folder with --out`,
    )
  assert.equal(await masks(['a'], 'a/masks'), ['a/masks/a/b/y.png', 'a/masks/a/x.png'])
  assert.equal(await masks(['a'], '../out'), ['../out/a/b/y.png', '../out/a/x.png'])
})

test.run()
