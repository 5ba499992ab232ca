// What the tests of the open inference protocol share: its tensors and requests.
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { post, sceneFile, sceneLabels } from './support.js'

export const scene = sceneFile('scene01')
export const words: readonly string[] = [...sceneLabels('scene01'), 'dog']
export const path = '/v2/models/clip-es/infer'

export const photoTensor = { name: 'photo', shape: [1], datatype: 'BYTES' }
export const jsonPhoto = { ...photoTensor, data: [scene.toString('base64')] }
export const jsonClasses = (names: readonly string[] = words) => ({
  name: 'classes',
  shape: [names.length],
  datatype: 'BYTES',
  data: names,
})

/** The message of an answer that must be an error of this status. */
export async function message(response: Response, status = 400): Promise<string> {
  const body = (await response.json()) as Record<string, string>
  assert.is(response.status, status, JSON.stringify(body))
  assert.equal(Object.keys(body), ['error'])
  return body.error as string
}

/** A request with JSON and, behind it, binary data, as Triton's client makes it. */
export function binaryRequest(
  server: RunningServer,
  request: object,
  binary: readonly Buffer[],
  type?: string,
): Promise<Response> {
  const head = Buffer.from(JSON.stringify(request))
  const headers = { 'inference-header-content-length': String(head.length), ...(type && { 'content-type': type }) }
  return post(server, path, Buffer.concat([head, ...binary]), headers)
}
