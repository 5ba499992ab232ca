import { contentTypes } from '../answers/answer.js'
import { questionSchema, type Schema } from '../request/schema.js'

// What the API's description says of answers. What it says of requests is in request/schema.ts.

const text: Schema = { type: 'string' }
const integer: Schema = { type: 'integer' }
const number: Schema = { type: 'number' }
const base64Png: Schema = { type: 'string', description: 'An 8-bit grey PNG, base64' }
const object = (properties: Record<string, Schema>, description?: string): Schema => ({
  type: 'object',
  ...(description && { description }),
  properties,
})

export const problemSchema = object(
  {
    type: text,
    title: text,
    status: integer,
    detail: { type: 'string', description: 'What was wrong, with the value, and what to do' },
    code: { type: 'string', description: 'For programs, such as ERR_INVALID_ARG' },
    remedy: text,
    requestId: text,
  },
  'An error: RFC 9457',
)

const rle = object({ size: { type: 'array', items: integer }, counts: text }, "COCO's compressed run-length code")

const labelSchema = object({
  name: text,
  index: { ...integer, description: 'Of the class; a mask has it plus one' },
  score: { ...number, description: "CLIP's probability" },
  presence: { ...number, description: "With labels 'auto': how certain CLIP is that it is there" },
  pixels: integer,
  box: { type: ['array', 'null'], items: integer, description: 'Left, top, width and height; null without pixels' },
  color: { ...text, description: '#rrggbb, as in the mask' },
  rle,
  polygons: {
    type: 'array',
    items: { type: 'array', items: number },
    description: 'x, y, x, y, … of each region, whose holes are joined to its outline',
  },
  cam: base64Png,
})

const answerSchema = object({
  width: integer,
  height: integer,
  labels: { type: 'array', items: labelSchema },
  background: { ...integer, description: 'Pixels' },
  ignored: { ...integer, description: 'Pixels' },
  ignoredRle: { ...rle, description: 'Which pixels are ignored, with shapes=rle' },
  confidence: base64Png,
  timings: { type: 'object', additionalProperties: number, description: 'Milliseconds of each stage' },
  warnings: { type: 'array', items: text },
})

const binary = (description: string): Schema => ({ type: 'string', format: 'binary', description })

/** The answers of a request that segments. */
export const segmentResponses: Record<string, Schema> = {
  200: {
    description: 'The result in the kind that was asked for',
    content: {
      'image/png': { schema: binary('A palette PNG: 0 background, 1 the first class, …, 255 ignored; or the overlay') },
      [contentTypes.json]: { schema: answerSchema },
      [contentTypes.raw]: { schema: binary("The mask's bytes, row by row") },
      [contentTypes.npz]: { schema: binary('For numpy.load: keys int64 (K), attn_highres float16 (K, height, width)') },
    },
  },
}

export const problemResponses: Record<string, Schema> = {
  '4xx': { description: 'The request is wrong', content: { 'application/problem+json': { schema: problemSchema } } },
  503: {
    description: 'The server is busy; the header Retry-After says when to try again',
    content: { 'application/problem+json': { schema: problemSchema } },
  },
}

/** A photo with its options, in each of the ways in which it can be sent. */
export const photoBody = (options: Schema): Schema => ({
  content: {
    'multipart/form-data': {
      schema: { ...options, required: ['photo'], properties: { photo: binary('The file'), ...options.properties } },
    },
    'image/*': { schema: binary('A JPEG, PNG, WebP, AVIF or TIFF file; the options are in the query') },
  },
})

export const jsonBody = (schema: Schema): Schema => ({ content: { 'application/json': { schema } } })

export const questionQuery = questionSchema
