import { readdirSync } from 'node:fs'
import { basename, dirname, join, parse, relative, resolve, sep } from 'node:path'
import { invalid, ownPicture } from 'clip-es/support'
import { plainName } from '../files/existing.js'
import type { PhotoFile } from './find.js'
import { isPhotoName, isWithin, realFolder, stemOf } from './names.js'

/** What can be written of a photo. */
export type ResultKind = 'mask' | 'overlay' | 'confidence' | 'cams'

const endings: Record<ResultKind, string> = {
  mask: '.png',
  overlay: '_overlay.png',
  confidence: '_confidence.png',
  cams: '.npz',
}
const marks = ['_overlay', '_confidence'] // a photo of that name could have a mask where another one has its overlay

/** A photo's results: where they go. */
export type Places = Record<ResultKind, string>

/** A photo with the places of its results, or with the photo whose results have taken them. */
export type Placed = { photo: PhotoFile } & ({ places: Places } | { takenBy: PhotoFile })

/** Under its path from the working directory; from the root of the file system for what is outside. */
function relativePath(file: string): string {
  const path = relative(process.cwd(), file)
  return path === '..' || path.startsWith(`..${sep}`) ? file.slice(parse(file).root.length) : path
}

/** Which stems a folder's photos have, and how often. Masks of ours that lie among them are not photos. */
function stemsIn(folder: string): Map<string, number> {
  const stems = new Map<string, number>()
  try {
    for (const name of readdirSync(folder).filter(isPhotoName)) {
      const stem = plainName(stemOf(name))
      if (ownPicture(join(folder, name)) === undefined) stems.set(stem, (stems.get(stem) ?? 0) + 1)
    }
  } catch {
    // a folder that may be entered but not listed
  }
  return stems
}

/**
 * True where the stem alone would not say which photo of the folder is meant. Decided by what is in the folder, not by what is asked
 * for: a photo's results must have the same names whether it is worked on alone or with its neighbours.
 */
function needsExtension(name: string, stems: ReadonlyMap<string, number>): boolean {
  const stem = plainName(stemOf(name))
  const others = (stems.get(stem) ?? 0) - (isPhotoName(name) ? 1 : 0)
  return others > 0 || marks.some((mark) => stem.endsWith(mark) && stems.has(stem.slice(0, -mark.length)))
}

/** A cache around a function of one text. */
function remember<T>(make: (key: string) => T): (key: string) => T {
  const known = new Map<string, T>()
  return (key) => {
    const value = known.get(key) ?? make(key)
    known.set(key, value)
    return value
  }
}

/**
 * Where each photo's results go: `a/x.jpg` has its mask at `OUT/a/x.png`, and at `OUT/a/x.jpg.png` where `a` holds an `x.png` too.
 * @throws ERR_INVALID_ARG when a result would overwrite a photo, or lie where a walked folder's photos are looked for
 */
export function placeResults(photos: readonly PhotoFile[], walked: readonly string[], out: string): Placed[] {
  for (const folder of walked) checkApart(folder, out)
  const stems = remember(stemsIn)
  const real = remember(realFolder)
  const placeOf = (path: string) => plainName(join(real(dirname(path)), basename(path)))
  const sources = new Set(photos.map(({ file }) => placeOf(file)))
  const owners = new Map<string, PhotoFile>()
  return photos.map((photo): Placed => {
    const name = basename(photo.file)
    const kept = needsExtension(name, stems(dirname(photo.file))) ? name : stemOf(name)
    const start = join(out, dirname(relativePath(photo.file)), kept)
    const places = Object.fromEntries(Object.entries(endings).map(([kind, ending]) => [kind, start + ending])) as Places
    const targets = Object.values(places).map(placeOf)
    const overwritten = targets.find((target) => sources.has(target))
    if (overwritten)
      throw invalid(`a result of ${photo.path} would overwrite the photo ${overwritten}: choose another folder with --out`)
    const takenBy = targets.map((target) => owners.get(target)).find((owner) => owner !== undefined)
    if (takenBy) return { photo, takenBy }
    for (const target of targets) owners.set(target, photo)
    return { photo, places }
  })
}

/** Results among the photos of a folder that is walked would be photos the next time; results in a folder of their own are left out. */
function checkApart(folder: string, out: string): void {
  const [photos, results] = [realFolder(folder), realFolder(out)]
  if (results !== photos && isWithin(results, photos)) return
  if (!isWithin(realFolder(join(out, relativePath(resolve(folder)))), photos)) return
  throw invalid(
    `the results would be written among the photos of ${folder}, and the next run would segment them, too: choose another folder with --out`,
  )
}
