import { show } from 'clip-es/support'
import { ServerError } from '../../errors.js'
import type { FetchOptions } from '../../remote/photos.js'
import { decodePhoto } from '../base64_photo.js'
import type { ProtocolOptions } from '../options.js'

/** A task as Label Studio sends it. It has more fields, which nobody needs here. */
export interface Task {
  id?: number
  data: Record<string, unknown>
}

const bad = (message: string, remedy: string) => new ServerError(400, 'ERR_BAD_REQUEST', message, remedy)

/** Where a task's photo is. @throws ERR_BAD_REQUEST */
function urlOf(text: string, { id }: Task, { labelStudio }: ProtocolOptions): string {
  if (/^https?:\/\//i.test(text)) return text
  const path = /^\/?upload\//.test(text) ? `/data/${text.replace(/^\//, '')}` : text
  const isStored = /^(s3|gs|azure-blob):\/\//.test(path)
  if (!isStored && !path.startsWith('/'))
    throw bad(
      `the photo is ${show(text.slice(0, 200))}; expected a URL, a path of Label Studio such as /data/upload/1/photo.jpg, or a data URI`,
      'correct the data of the task',
    )
  if (!labelStudio)
    throw bad(
      `the photo ${show(text.slice(0, 200))} is in Label Studio, and the server does not know where that is`,
      'start the server with clip-es serve --label-studio http://localhost:8080 (or where it is), and its token in CLIP_ES_LABEL_STUDIO_TOKEN',
    )
  return labelStudio.urlOf(isStored ? `/tasks/${id}/presign/?fileuri=${encodeURIComponent(path)}` : path)
}

function decodeDataUri(text: string, { service }: ProtocolOptions): Buffer {
  const comma = text.indexOf(',')
  if (!/;base64$/i.test(text.slice(0, Math.max(comma, 0))))
    throw bad('the data URI of the photo is not in base64', 'write it as data:image/jpeg;base64,…')
  return decodePhoto('the data URI of the photo', text.slice(comma + 1), service)
}

/** The bytes of a task's photo. @throws ERR_BAD_REQUEST, and the errors of RemotePhotos.fetch() */
export async function photoOf(task: Task, key: string, options: ProtocolOptions, fetching: FetchOptions): Promise<Buffer> {
  const text = task.data[key]
  if (typeof text !== 'string' || text === '')
    throw bad(
      `the data of the task has ${text === undefined ? `no '${key}'` : `${show(text)} as '${key}'`}; expected the address of its photo`,
      'name the value in the labelling configuration: <Image value="$KEY"/>',
    )
  if (/^data:/i.test(text)) return decodeDataUri(text, options)
  const url = urlOf(text, task, options)
  const authorization = options.labelStudio?.authorizationFor(url)
  return await options.remote.fetch(url, { ...fetching, ...(authorization !== undefined && { authorization }) })
}
