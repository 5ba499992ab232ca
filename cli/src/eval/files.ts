import { existsSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'
import { type LabelMap, readMask } from 'clip-es/photos'
import { invalid, ownPicture } from 'clip-es/support'
import { existingPath, plainName } from '../files/existing.js'
import { walk } from '../files/walk.js'
import { camExtensions, readCams } from '../formats/read_cams.js'
import { type CamRule, type Cams, maskFromCams } from '../metrics/cam_rule.js'
import { messageOf } from '../shared/wording.js'
import { readIdList } from '../sources/id_list.js'

const resultMarks = ['_overlay', '_confidence'] // of older versions, whose files do not say what they are

/** '/'-separated ids (paths without extension) of the files below a folder, sorted. Overlays and confidences are not masks. */
export function listIds(folder: string, extensions: readonly string[]): string[] {
  const files = walk(folder).files.filter((file) => {
    const picture = ownPicture(file)
    return extensions.includes(extname(file)) && (picture === undefined || picture === 'mask')
  })
  const ids = new Set(files.map((file) => relative(folder, file.slice(0, -extname(file).length)).replaceAll(sep, '/')))
  const isMask = (id: string) => !resultMarks.some((mark) => id.endsWith(mark) && ids.has(id.slice(0, -mark.length)))
  return [...ids].filter(isMask).sort()
}

/** The ids of a list that was made for results. Throws ERR_INVALID_ARG. */
export function readResultList(file: string, results: readonly string[]): string[] {
  if (!existsSync(file)) throw invalid(`there is no list ${file}`)
  const known = new Set(results.map(plainName))
  return readIdList(file, (id) => known.has(id))
}

/** What to say where a JPEG file has the name of the mask that is missing. */
function lossyTwin(file: string): string {
  const stem = file.slice(0, -extname(file).length)
  const twin = ['.jpg', '.jpeg'].map((extension) => stem + extension).find((path) => existsSync(path))
  return twin === undefined
    ? ''
    : `; ${twin} cannot be used, because JPEG changes the numbers of the classes: save the mask as PNG`
}

/** A mask or a truth. Throws ERR_INVALID_ARG naming the file. */
export async function readMap(file: string): Promise<LabelMap> {
  const path = existingPath(file)
  if (path === undefined) throw invalid(`there is no ${file}${lossyTwin(file)}`)
  return await readMask(path)
}

/** CAMs of a photo. Throws ERR_INVALID_ARG naming the file. */
export async function readCamsOf(folder: string, id: string): Promise<{ file: string; cams: Cams }> {
  const file = camExtensions.map((extension) => existingPath(join(folder, id + extension))).find((path) => path !== undefined)
  if (file === undefined) throw invalid(`there is no ${join(folder, id)}.npz, and no .npy`)
  try {
    return { file, cams: await readCams(file) }
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`)
  }
}

/** A mask to evaluate: a file's, or one made from CAMs. */
export async function readResult(folder: string, id: string, rule: CamRule | undefined): Promise<LabelMap & { file: string }> {
  if (rule === undefined) {
    const file = join(folder, `${id}.png`)
    return { file, ...(await readMap(file)) }
  }
  const { file, cams } = await readCamsOf(folder, id)
  return { file, data: maskFromCams(cams, rule), width: cams.width, height: cams.height }
}
