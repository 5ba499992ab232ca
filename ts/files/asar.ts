import { existsSync, statSync } from 'node:fs'
import { ClipEsError } from '../core/errors.js'

// Electron reads files in an asar archive by paths such as …/app.asar/models/m.pt. Native code cannot. A packager leaves files that
// native code opens outside, at the same place below …/app.asar.unpacked.

const archivePart = /^.*?[\\/][^\\/]+\.asar(?=[\\/])/

/** With noAsar set, Electron shows an archive as the file that it is, not as a folder. */
function isFolder(path: string): boolean {
  const electron = process as NodeJS.Process & { noAsar?: boolean }
  const before = electron.noAsar
  electron.noAsar = true
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  } finally {
    electron.noAsar = before
  }
}

/** Where a file of an asar archive is for native code. Other paths stay as they are, also those below a folder with such a name. */
export function outsideAsar(path: string): string {
  const [archive] = archivePart.exec(path) ?? []
  if (archive === undefined || isFolder(archive)) return path
  return `${archive}.unpacked${path.slice(archive.length)}`
}

/** As `outsideAsar`. Throws ERR_MODEL_READ for a model that exists only inside the archive. */
export function modelOutsideAsar(path: string): string {
  const outside = outsideAsar(path)
  if (outside === path || existsSync(outside) || !existsSync(path)) return outside
  throw new ClipEsError(
    'ERR_MODEL_READ',
    `${path} is packed in an asar archive, which native code cannot read: let the packager leave it outside, as ${outside} (electron-builder: asarUnpack; Electron Forge: packagerConfig.asar.unpack)`,
  )
}
