/** The tensors of the model, by name. */
export interface TensorMetadata {
  name: string
  datatype: 'BYTES' | 'UINT8' | 'FP32'
  /** -1 for a size that differs from request to request. */
  shape: readonly number[]
}

/** There is one model in a server. */
export const modelName = 'clip-es'
export const modelVersion = '1'

export const inputs = [
  { name: 'photo', datatype: 'BYTES', shape: [1] },
  { name: 'classes', datatype: 'BYTES', shape: [-1] },
] as const satisfies readonly TensorMetadata[]

/** What a request gets that does not ask for outputs. */
const defaultOutputs = [
  { name: 'mask', datatype: 'UINT8', shape: [-1, -1] },
  { name: 'labels', datatype: 'BYTES', shape: [-1] },
  { name: 'values', datatype: 'UINT8', shape: [-1] },
  { name: 'scores', datatype: 'FP32', shape: [-1] },
] as const satisfies readonly TensorMetadata[]

export const outputs = [
  ...defaultOutputs,
  { name: 'confidence', datatype: 'FP32', shape: [-1, -1] },
  { name: 'maps', datatype: 'FP32', shape: [-1, -1, -1] },
] as const satisfies readonly TensorMetadata[]

export type OutputName = (typeof outputs)[number]['name']
export const outputNames: readonly OutputName[] = outputs.map(({ name }) => name)
export const defaultOutputNames: readonly OutputName[] = defaultOutputs.map(({ name }) => name)
