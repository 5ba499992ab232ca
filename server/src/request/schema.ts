import { defaults, similarityPresets, templates } from 'clip-es'
import { fusions, mostClasses } from 'clip-es/support'

// The options of requests as JSON Schema: they validate and they are the API's description. Only types and lists of choices are here; ranges
// are checked by the library, whose messages say more.

/** A part of a JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it). */
export interface Schema {
  [key: string]: unknown
  description?: string
  properties?: Record<string, Schema>
}

const words = (description: string): Schema => ({ type: 'array', items: { type: 'string' }, description })

const classEntry: Schema = {
  type: 'object',
  required: ['name'],
  properties: {
    name: { type: 'string' },
    synonyms: words('The words that stand for the class in prompts, instead of the name'),
    colour: { type: 'string', description: '#rrggbb or #rgb' },
    labelThreshold: {
      type: 'number',
      description: "With labels 'auto': how certain CLIP must be that the class is there, 0 to 1",
    },
  },
  additionalProperties: false,
}

export const classesSchema: Schema = {
  oneOf: [
    { type: 'string' },
    { type: 'array', minItems: 1, maxItems: mostClasses, items: { oneOf: [{ type: 'string' }, classEntry] } },
  ],
  description: 'What to look for: words, or the name of a class set',
}

/** Of Segmenter.encodeClasses. */
export const classOptionProperties: Record<string, Schema> = {
  template: {
    oneOf: [{ type: 'string' }, words('')],
    description: `The prompt, with {} in place of the word. Default: ${templates.clip_es}`,
  },
  background: words("Words that the classes compete with. Default: VOC's, or those of the class set"),
  fusion: { type: 'string', enum: fusions, description: `How synonyms are combined. Default: ${defaults.fusion}` },
}

const number = (description: string): Schema => ({ type: 'number', description })

/** The settings of maps: 'similarity', as the library's presets have them. */
function similaritySchema(): Schema {
  const types = Object.entries(similarityPresets.naclip).map(([name, value]): [string, Schema] => [
    name,
    name === 'attention' ? { type: 'string', enum: ['query', 'key'] } : { type: typeof value },
  ])
  const preset = { type: 'string', enum: Object.keys(similarityPresets) }
  return { type: 'object', properties: { preset, ...Object.fromEntries(types) }, additionalProperties: false }
}

/** Of Segmenter.segment. */
export const segmentOptionProperties: Record<string, Schema> = {
  labels: {
    oneOf: [{ const: 'auto' }, { type: 'array', items: { oneOf: [{ type: 'string' }, { type: 'integer' }] } }],
    description: "The classes that are in the photo, by name or index; 'auto' lets CLIP find out. Default: all",
  },
  labelThreshold: number(
    `With labels 'auto': how certain CLIP must be, 0 to 1. Default: each class's own, else ${defaults.labelThreshold}`,
  ),
  maps: {
    oneOf: [{ type: 'string', enum: ['gradcam', 'similarity'] }, similaritySchema()],
    description:
      "How the maps are made: 'gradcam' as in the paper, 'similarity' by comparing every patch with all words at once, or the settings of similarity. Default: gradcam",
  },
  scales: {
    type: 'array',
    items: { type: 'number' },
    description: 'Scales of the photo, 0.25 to 4, whose maps are averaged. Default: 1',
  },
  flip: { type: 'boolean', description: 'Also average the maps of the mirrored photo. Default: false' },
  refine: { type: 'boolean', description: 'Sharpen the maps by attention (CAA). Default: true' },
  boxThreshold: number(`Threshold of the boxes of CAA, 0 to 1. Default: ${defaults.boxThreshold}, or the class set's`),
  minScore: number(`Labels with a lower score get no pixels. 0 to 1. Default: ${defaults.minScore}`),
  backgroundPower: number(`background = (1 - largest map) ^ backgroundPower. Default: ${defaults.backgroundPower}`),
  backgroundBelow: number(`Pixels where no map is larger become background. 0 to 1. Default: ${defaults.backgroundBelow}`),
  crf: {
    oneOf: [
      { type: 'boolean' },
      {
        type: 'object',
        properties: {
          rounds: number('Of mean-field inference'),
          positionSigma: number('Pixels'),
          positionWeight: number(''),
          bilateralPositionSigma: number('Pixels'),
          bilateralColourSigma: number('Levels of 255'),
          bilateralWeight: number(''),
          released: { type: 'boolean', description: "Repeat the released pipeline's photo" },
        },
        additionalProperties: false,
      },
    ],
    description: 'Move borders onto the edges of the photo by the dense CRF: true, or its settings. Default: false',
  },
  ignoreBelow: number(`Pixels with a lower confidence become 255. 0 to 1. Default: ${defaults.ignoreBelow}`),
  include: {
    type: 'array',
    items: { type: 'string', enum: ['confidence', 'cams'] },
    description: 'What a JSON or npz answer has besides the mask',
  },
}

export const formats = ['mask', 'json', 'overlay', 'raw', 'npz'] as const
export type Format = (typeof formats)[number]

export const shapes = ['rle', 'polygons', 'none'] as const
export type Shapes = (typeof shapes)[number]

/** Of the answer. */
export const answerProperties: Record<string, Schema> = {
  format: { type: 'string', enum: formats, description: 'The kind of answer. Default: by the header Accept, else mask' },
  shapes: { type: 'string', enum: shapes, description: 'How a JSON answer draws the labels. Default: rle' },
}

/** The options of a request that segments. */
export const questionSchema: Schema = {
  type: 'object',
  properties: { classes: classesSchema, ...classOptionProperties, ...segmentOptionProperties, ...answerProperties },
  additionalProperties: false,
}
