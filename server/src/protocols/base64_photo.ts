import { ServerError } from '../errors.js'
import type { Service } from '../service/service.js'

/** Bytes of a JSON body that has a photo in base64. */
export const photoJsonBytes = ({ limits }: Service): number => Math.ceil((4 * limits.photoBytes) / 3) + limits.jsonBytes

/** The bytes of a photo, if they are not too many. @param what has them, for messages. @throws ERR_TOO_LARGE */
export function checkPhotoBytes(what: string, photo: Buffer, { limits }: Service): Buffer {
  if (photo.length <= limits.photoBytes) return photo
  const message = `${what} has ${photo.length} bytes; at most ${limits.photoBytes} are allowed`
  throw new ServerError(413, 'ERR_TOO_LARGE', message, 'reduce the photo first')
}

/** A photo that is sent as a text. @param what the text, for messages. @throws ERR_BAD_REQUEST, ERR_TOO_LARGE */
export function decodePhoto(what: string, base64: unknown, service: Service): Buffer {
  const photo = typeof base64 === 'string' ? Buffer.from(base64, 'base64') : Buffer.alloc(0)
  if (photo.length) return checkPhotoBytes(what, photo, service)
  throw new ServerError(400, 'ERR_BAD_REQUEST', `${what} is not a photo in base64`, 'send the bytes of an image file in base64')
}
