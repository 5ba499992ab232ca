import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname, join, posix } from 'node:path'
import { camExtensions, readCams } from '../arrays/cam_file.js'
import { messageOf } from '../dataset/dataset.js'
import { invalid } from '../errors.js'
import { type CamRule, type Cams, maskFromCams } from '../metrics/cam_rule.js'
import { decodeLabels, type LabelMap } from '../render/png.js'

/** '/'-separated ids (paths without extension) of the files below a folder, sorted; hidden ones are none. */
export function listIds(folder: string, extensions: readonly string[], below = ''): string[] {
  const entries = readdirSync(join(folder, below), { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'))
  const ids = entries.flatMap((entry) => {
    const path = posix.join(below, entry.name)
    if (entry.isDirectory()) return listIds(folder, extensions, path)
    return extensions.includes(extname(path)) ? [path.slice(0, path.length - extname(path).length)] : []
  })
  return [...new Set(ids)].sort()
}

/** The ids of a list: the first word of each line, with folders, without extension. */
export function readIdList(file: string): string[] {
  const words = readFileSync(file, 'utf8')
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim().split(/\s+/)[0] as string)
  return [...new Set(words.filter((word) => word !== '').map((word) => word.replace(/\.[a-z]{3,4}$/i, '')))]
}

/** A mask or a truth. Throws ERR_INVALID_ARG naming the file. */
export async function readMap(file: string): Promise<LabelMap> {
  if (!existsSync(file)) throw invalid(`there is no ${file}`)
  try {
    return await decodeLabels(await readFile(file))
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`)
  }
}

/** CAMs of a photo. Throws ERR_INVALID_ARG naming the file. */
export async function readCamsOf(folder: string, id: string): Promise<{ file: string; cams: Cams }> {
  const file = camExtensions.map((extension) => join(folder, id + extension)).find((path) => existsSync(path))
  if (file === undefined) throw invalid(`there is no ${join(folder, id)}.npz, and no .npy`)
  try {
    return { file, cams: await readCams(file) }
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`)
  }
}

/** A truth that fits a result in size, else an error that names both. */
export async function readTruth(file: string, result: string, width: number, height: number): Promise<Uint8Array> {
  const truth = await readMap(file)
  if (truth.width === width && truth.height === height) return truth.data
  throw invalid(`${result} is ${width} x ${height}, but its truth ${file} is ${truth.width} x ${truth.height}`)
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
