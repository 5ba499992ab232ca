import { invalid, show, unknownWord } from 'clip-es/support'
import type { SegmentRequest, Service } from '../../service/service.js'
import { checkPhotoBytes, decodePhoto } from '../base64_photo.js'
import { questionOf } from '../question.js'
import { defaultOutputNames, inputs, type OutputName, outputNames } from './model.js'
import { decodeBytes, decodeText } from './tensors.js'

/** An output of a request. */
export interface AskedOutput {
  name: OutputName
  /** Behind the JSON, instead of in it. */
  binary: boolean
}

export interface InferRequest {
  id: string | undefined
  segment: Omit<SegmentRequest, 'signal'>
  outputs: AskedOutput[]
}

type Fields = Record<string, unknown>

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)

function fields(name: string, value: unknown): Fields {
  if (value === undefined) return {}
  if (isFields(value)) return value
  throw invalid(`${name} is ${show(value)}; expected an object`)
}

function list(name: string, value: unknown): Fields[] {
  if (Array.isArray(value) && value.every(isFields)) return value
  throw invalid(`${name} is ${show(value)}; expected a list of tensors, such as [{"name": …}]`)
}

/** The JSON at the beginning of a body, and the binary data behind it. */
function splitBody(body: Buffer, header: string | undefined): { json: Fields; binary: Buffer } {
  const length = header === undefined ? body.length : /^\d+$/.test(header) ? Number(header) : Number.NaN
  if (length === 0)
    throw invalid(
      'the request has binary data only (Inference-Header-Content-Length is 0), but the model has two inputs; describe them in JSON',
    )
  if (!(length <= body.length))
    throw invalid(
      `Inference-Header-Content-Length is ${show(header)}; expected the length of the JSON, of ${body.length} bytes of the body`,
    )
  try {
    return { json: fields('the request', JSON.parse(body.toString('utf8', 0, length))), binary: body.subarray(length) }
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    const remedy =
      header === undefined ? '; with binary data, give the length of the JSON as Inference-Header-Content-Length' : ''
    throw invalid(`the request is not JSON (${cause.message})${remedy}`, { cause })
  }
}

/** An input's elements: bytes from binary data, texts from JSON. */
type Elements = { binary: Buffer[] } | { json: string[] }

const countOf = (elements: Elements): number => ('binary' in elements ? elements.binary : elements.json).length

function checkShape(name: string, shape: unknown, elements: Elements): void {
  const sizes =
    Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size >= 0) ? (shape as number[]) : undefined
  if (sizes?.reduce((product, size) => product * size, 1) === countOf(elements)) return
  throw invalid(`the input ${name} has the shape ${JSON.stringify(shape)} and ${countOf(elements)} elements; correct one of them`)
}

/** The inputs by name. Binary data is cut in their order. */
function readInputs(given: unknown, binary: Buffer): Map<string, Elements> {
  const found = new Map<string, Elements>()
  let at = 0
  for (const { name, datatype, shape, parameters, data } of list('inputs', given)) {
    const names = inputs.map((input) => input.name)
    if (!names.includes(name as 'photo')) throw unknownWord('infer', 'input', String(name), names)
    if (found.has(name as string)) throw invalid(`the input ${name} is given twice; give it once`)
    if (datatype !== 'BYTES') throw invalid(`the input ${name} has the datatype ${show(datatype)}; expected 'BYTES'`)
    const { binary_data_size: size } = fields(`the parameters of ${name}`, parameters)
    let elements: Elements
    if (size !== undefined) {
      if (!Number.isInteger(size) || (size as number) < 0 || at + (size as number) > binary.length)
        throw invalid(
          `the input ${name} has a binary_data_size of ${show(size)}; ${binary.length - at} bytes are left of the binary data`,
        )
      elements = { binary: decodeBytes(name as string, binary.subarray(at, at + (size as number))) }
      at += size as number
    } else elements = { json: readJsonData(name as string, data) }
    checkShape(name as string, shape, elements)
    found.set(name as string, elements)
  }
  if (at < binary.length)
    throw invalid(`${binary.length - at} bytes behind the JSON belong to no input; give each its binary_data_size`)
  return found
}

function readJsonData(name: string, data: unknown): string[] {
  const flat = Array.isArray(data) ? (data.flat(Number.POSITIVE_INFINITY) as unknown[]) : undefined
  if (flat?.every((element) => typeof element === 'string')) return flat as string[]
  throw invalid(`the data of ${name} is ${show(data)}; expected a list of texts, or binary data with its binary_data_size`)
}

function readPhoto(elements: Elements | undefined, service: Service): Buffer {
  if (!elements) throw invalid('the input photo is missing; send the bytes of an image file as a BYTES tensor of the shape [1]')
  if (countOf(elements) !== 1) throw invalid(`the input photo has ${countOf(elements)} elements; send one photo a request`)
  if ('binary' in elements) return checkPhotoBytes('the input photo', elements.binary[0] as Buffer, service)
  return decodePhoto('the input photo', elements.json[0], service)
}

/** Words, or the name of a class set. */
function readClasses(elements: Elements | undefined, { classSets }: Service): string[] | string {
  if (!elements)
    throw invalid('the input classes is missing; send what to look for, or the name of a class set, as a BYTES tensor')
  const words = 'binary' in elements ? elements.binary.map((bytes) => decodeText('classes', bytes)) : elements.json
  const [only] = words
  return words.length === 1 && only !== undefined && classSets.has(only) ? only : words
}

/** Parameters are texts, numbers and booleans: lists are texts with commas, as in a query. */
function readParameters(parameters: Fields): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => {
      if (['string', 'number', 'boolean'].includes(typeof value)) return [name, String(value)]
      throw invalid(
        `the parameter ${name} is ${show(value)}; expected a text, a number or a boolean, and for a list a text with commas`,
      )
    }),
  )
}

const isTrue = (name: string, value: unknown): boolean => {
  if (value === undefined || typeof value === 'boolean') return value === true
  throw invalid(`${name} is ${show(value)}; expected true or false`)
}

function readOutputs(given: unknown, binary: boolean): AskedOutput[] {
  if (given === undefined || (Array.isArray(given) && !given.length)) return defaultOutputNames.map((name) => ({ name, binary }))
  const asked = list('outputs', given).map(({ name, parameters }): AskedOutput => {
    if (!outputNames.includes(name as OutputName)) throw unknownWord('infer', 'output', String(name), outputNames)
    const { binary_data: own, classification } = fields(`the parameters of ${name}`, parameters)
    if (classification !== undefined) throw invalid(`the output ${name} has no classification; leave this parameter out`)
    return { name: name as OutputName, binary: own === undefined ? binary : isTrue('binary_data', own) }
  })
  const twice = asked.find(({ name }, i) => asked.findIndex((other) => other.name === name) !== i)
  if (twice) throw invalid(`the output ${twice.name} is asked for twice; ask once`)
  return asked
}

/**
 * Reads the body of an inference request.
 * @param header Inference-Header-Content-Length
 * @throws ERR_INVALID_ARG, ERR_BAD_REQUEST, ERR_TOO_LARGE
 */
export function readInferRequest(body: Buffer, header: string | undefined, service: Service): InferRequest {
  const { json, binary } = splitBody(body, header)
  const { id, inputs: given, outputs: asked } = json
  if (id !== undefined && typeof id !== 'string') throw invalid(`id is ${show(id)}; expected a text`)
  const { binary_data_output, ...parameters } = fields('parameters', json.parameters)
  const tensors = readInputs(given, binary)
  const outputs = readOutputs(asked, isTrue('binary_data_output', binary_data_output))
  const classes = readClasses(tensors.get('classes'), service)
  const { options, ...question } = questionOf(service, 'infer', classes, readParameters(parameters))
  const wanted = outputs.map(({ name }) => name)
  const include = [
    ...(wanted.includes('maps') ? ['cams' as const] : []),
    ...(wanted.includes('confidence') ? ['confidence' as const] : []),
  ]
  return {
    id,
    segment: { ...question, options: { ...options, include }, photo: readPhoto(tensors.get('photo'), service) },
    outputs,
  }
}
