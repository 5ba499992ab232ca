import { type Photo, type ReadPhotoOptions, readPhoto } from 'clip-es/photos'
import { invalid } from 'clip-es/support'
import { messageOf } from '../shared/wording.js'

/** Reads a photo. The errors do not name the file, because the command's lines about a photo begin with its name. */
export async function readPhotoOf(file: string, options?: ReadPhotoOptions): Promise<Photo> {
  try {
    return await readPhoto(file, options)
  } catch (error) {
    const name = `${file}: `
    if (!messageOf(error).startsWith(name)) throw error
    throw invalid(messageOf(error).slice(name.length), { cause: error })
  }
}
