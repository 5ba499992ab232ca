import { type Photo, readPhoto } from 'clip-es/photos'
import { invalid } from 'clip-es/support'
import type { Exchange, PhotoState } from '../dataset/photo.js'
import { TransferError } from '../pipeline/pipeline.js'
import { messageOf } from '../shared/wording.js'
import type { Served } from './runs.js'
import { packResult, readState, stateHeader, writeState } from './served.js'

const patience = 120_000 // milliseconds for one photo or its results

/**
 * One photo of a job that the producer serves.
 * @throws TransferError when the producer does not answer, or does not want the result any more
 */
export function servedPhoto({ url, token }: Served, job: string, place: number): Exchange {
  const state: PhotoState = { bytes: 0, modified: 0 } // as the producer saw the file when it sent it
  const call = async (method: string, headers: Record<string, string> = {}, body?: Blob): Promise<Response> => {
    try {
      return await fetch(`${url}/jobs/${job}/${place}`, {
        ...{ method, body, headers: { ...headers, authorization: `Bearer ${token}` } },
        signal: AbortSignal.timeout(patience),
      })
    } catch (error) {
      const { cause } = error as Error
      throw new TransferError(
        `the producer at ${url} does not answer (${messageOf(cause ?? error)}); check that this machine can reach it`,
      )
    }
  }
  return {
    prepare: () => state,
    async read() {
      const response = await call('GET')
      if (!response.ok) throw await refused(response, url)
      Object.assign(state, readState(response.headers.get(stateHeader)))
      return await decode(response, url)
    },
    async save(files, { labels, scores, presence, settings }) {
      const body = new Blob(packResult({ labels, scores, presence, settings }, files) as Buffer[])
      const response = await call('PUT', { [stateHeader]: writeState(state) }, body)
      if (!response.ok) throw await refused(response, url)
    },
    fail: (_: unknown) => undefined, // the producer learns it from the queue
  }
}

async function decode(response: Response, url: string): Promise<Photo> {
  let bytes: Uint8Array
  try {
    bytes = new Uint8Array(await response.arrayBuffer())
  } catch (error) {
    throw new TransferError(`the producer at ${url} stopped while it sent a photo (${messageOf(error)})`)
  }
  try {
    return await readPhoto(bytes, { orientation: 'ignored' })
  } catch (error) {
    throw invalid(messageOf(error).replace(/^the image: /, ''), { cause: error })
  }
}

/** 422 is the photo's fault. Anything else would happen to the next photo, too. */
async function refused(response: Response, url: string): Promise<Error> {
  const text = await response.text().catch(() => '')
  return response.status === 422 ? invalid(text) : new TransferError(`the producer at ${url} answers ${response.status}: ${text}`)
}
