import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ClipEsError } from '../core/errors.js'

const folder = resolve(__dirname, '..', '..') // dist/files and ts/files are equally deep

const contents = (): { name?: unknown; version?: unknown } => {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  } catch {
    return {}
  }
}

let checked = false

/**
 * The folder of this package's package.json, with data/, models/ and the add-on.
 * @throws ERR_MODEL_READ in a bundle, which has the code at another place and not these files.
 */
export function packageFolder(): string {
  if (!checked && contents().name !== 'clip-es')
    throw new ClipEsError(
      'ERR_MODEL_READ',
      `the files of clip-es are not next to its code (${folder} is another folder): a bundler has copied the code alone. Leave clip-es out of the bundle (esbuild: --external:clip-es; webpack, Rollup and Vite: external: ['clip-es']) and install it beside the bundle`,
    )
  checked = true
  return folder
}

export const packageVersion = (): string => String(contents().version)
