import { parseXml, type XmlDocument, XmlElement } from '@rgrove/parse-xml'
import type { ClassSpec } from 'clip-es'
import { invalid, type LabelStudioTool, show, unknownWord } from 'clip-es/support'
import { textOptions } from '../question.js'

/** A control tag of a labelling configuration: what to look for, in which photo, and what to draw. */
export interface Control {
  tool: LabelStudioTool
  /** Which value of a task's data is the photo. */
  photoKey: string
  classes: ClassSpec[]
  /** Options of the request, from attributes such as model_label_threshold. */
  texts: Record<string, string>
}

const tools: Readonly<Record<string, LabelStudioTool['tool']>> = {
  BrushLabels: 'brush',
  PolygonLabels: 'polygon',
  RectangleLabels: 'rectangle',
}

const tags = 'BrushLabels, PolygonLabels or RectangleLabels'
const example = '<BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels>'
const prefix = 'model_'

function parse(xml: string): XmlDocument {
  try {
    return parseXml(xml)
  } catch (cause) {
    const [line] = (cause as Error).message.split('\n')
    throw invalid(`the labelling configuration is not XML (${line}); correct it in the settings of the project`, { cause })
  }
}

function* elementsIn(parent: XmlDocument | XmlElement): Generator<XmlElement> {
  for (const child of parent.children) {
    if (!(child instanceof XmlElement)) continue
    yield child
    yield* elementsIn(child)
  }
}

/**
 * The control tags of a labelling configuration that clip-es can fill: those for brushes, polygons and rectangles in an image.
 * @throws ERR_INVALID_ARG for XML that is not well-formed, a tag that lacks something, and a configuration without such a tag
 */
export function readLabelConfig(xml: unknown): Control[] {
  if (typeof xml !== 'string')
    throw invalid(`the labelling configuration is ${show(xml)}; expected the XML of the project's labelling interface`)
  const all = [...elementsIn(parse(xml))]
  const images = new Map(
    all.filter(({ name }) => name === 'Image').map(({ attributes: { name = '', value = '' } }) => [name, value]),
  )
  const controls = all.filter(({ name, attributes }) => tools[name] && attributes[`${prefix}skip`] !== 'true')
  if (!controls.length) throw invalid(`the labelling configuration has no tag ${tags}; add one for an Image, such as ${example}`)
  return controls.map((control) => readControl(control, images))
}

function readControl(element: XmlElement, images: ReadonlyMap<string, string>): Control {
  const { name: tag, attributes } = element
  const { name, toName = '' } = attributes
  const call = `<${tag} name="${name ?? ''}">`
  if (!name) throw invalid(`${call} has no name; give it one, such as ${example}`)
  const image = toName.split(',').find((to) => images.has(to))
  if (image === undefined)
    throw invalid(
      `${call} has toName="${toName}"; expected the name of an Image: ${[...images.keys()].map(show).join(', ') || 'there is none'}`,
    )
  const value = images.get(image) as string
  if (!/^\$[\w.-]+$/.test(value))
    throw invalid(`<Image name="${image}"> has value="${value}"; expected a value of the task's data, such as "$image"`)
  const classes = [...elementsIn(element)].filter(({ name }) => name === 'Label').map((label) => readLabel(label, call))
  if (!classes.length) throw invalid(`${call} has no Label; add what to look for, such as <Label value="cat"/>`)
  const { regions, ...texts } = readOptions(attributes, call)
  return {
    tool: { tool: tools[tag] as LabelStudioTool['tool'], regions: regions === 'true', fromName: name, toName: image },
    photoKey: value.slice(1),
    classes,
    texts,
  }
}

/** A class has the name that results must have. CLIP looks for `predicted_values`, if there are some, else for the value. */
function readLabel({ attributes: { value, alias, predicted_values = '' } }: XmlElement, call: string): ClassSpec {
  if (!value) throw invalid(`${call} has a Label without a value; add one, such as <Label value="cat"/>`)
  const words = predicted_values.split(',').map((word) => word.trim())
  const synonyms = words.filter((word) => word !== '')
  return { name: alias || value, synonyms: synonyms.length ? synonyms : [value] }
}

/** Options of the library, from attributes: labelThreshold from model_label_threshold. */
function readOptions(attributes: Readonly<Record<string, string>>, call: string): Record<string, string> {
  const known = ['regions', 'skip', ...textOptions]
  const attributeOf = (option: string): string => prefix + option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  const options: Record<string, string> = {}
  for (const [attribute, text] of Object.entries(attributes)) {
    if (!attribute.startsWith(prefix)) continue
    const option = known.find((name) => attributeOf(name) === attribute)
    if (!option) throw unknownWord(call, 'attribute', attribute, known.map(attributeOf))
    if (option !== 'skip') options[option] = text
  }
  return options
}
