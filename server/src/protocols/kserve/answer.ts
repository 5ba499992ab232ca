import { invalid } from 'clip-es/support'
import type { ServiceResult } from '../../service/service.js'
import { outputs as allOutputs, modelName, modelVersion, type OutputName } from './model.js'
import type { InferRequest } from './request.js'
import { encodeBytes } from './tensors.js'

/** An answer: JSON, and binary data behind it if an output is binary. */
export interface InferAnswer {
  json: string
  binary: Buffer | undefined
}

interface Tensor {
  shape: number[]
  data: Uint8Array | Float32Array | readonly string[]
}

/** Numbers in JSON take several bytes each, and a text in JavaScript has a largest length. */
const mostJsonNumbers = 20e6

const tensorOf: Readonly<Record<OutputName, (result: ServiceResult) => Tensor>> = {
  mask: ({ mask, width, height }) => ({ shape: [height, width], data: mask }),
  labels: ({ labels }) => ({ shape: [labels.length], data: labels }),
  values: ({ labels, names }) => ({ shape: [labels.length], data: Uint8Array.from(labels, (name) => names.indexOf(name) + 1) }),
  scores: ({ scores }) => ({ shape: [scores.length], data: scores }),
  confidence: ({ confidence, width, height }) => ({ shape: [height, width], data: confidence as Float32Array }),
  maps: ({ cams, labels, width, height }) => ({ shape: [labels.length, height, width], data: cams as Float32Array }),
}

/** Little-endian, as all platforms of Node.js are. */
function binaryOf(data: Tensor['data']): Buffer {
  if (data instanceof Uint8Array || data instanceof Float32Array)
    return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return encodeBytes(data.map((text) => Buffer.from(text)))
}

/** @throws ERR_INVALID_ARG for an output that is too large for JSON */
export function checkJsonOutputs(result: ServiceResult, outputs: InferRequest['outputs']): void {
  for (const { name, binary } of outputs) {
    const { data } = tensorOf[name](result)
    if (!binary && data.length > mostJsonNumbers)
      throw invalid(
        `the output ${name} has ${data.length} numbers, too many for JSON; ask for it with the parameter binary_data: true`,
      )
  }
}

export function inferAnswer(result: ServiceResult, { id, outputs }: Pick<InferRequest, 'id' | 'outputs'>): InferAnswer {
  const binaries: Buffer[] = []
  const described = outputs.map(({ name, binary }) => {
    const { shape, data } = tensorOf[name](result)
    const tensor = { name, datatype: allOutputs.find((output) => output.name === name)?.datatype, shape }
    if (!binary) return { ...tensor, data: Array.from<unknown>(data) }
    const bytes = binaryOf(data)
    binaries.push(bytes)
    return { ...tensor, parameters: { binary_data_size: bytes.length } }
  })
  const head = { model_name: modelName, model_version: modelVersion, ...(id !== undefined && { id }) }
  return { json: JSON.stringify({ ...head, outputs: described }), binary: binaries.length ? Buffer.concat(binaries) : undefined }
}
