import { hexColour, maskPalette } from 'clip-es/photos'
import { escapeXml, type LabelStudioTool, labelStudioPrediction, labelStudioRegions } from 'clip-es/support'
import { type ExportClass, type ExportPhoto, valuesIn } from './photo.js'

/** What a class or region becomes. */
export interface LabelStudioOptions {
  tool: 'brush' | 'polygon'
  /** A brush mask for each connected region, not for each class of a photo. Polygons always have one region each. */
  regions: boolean
  /** What goes before the photo's path, percent-encoded, in its address. */
  urlPrefix: string
  /** Of the predictions: which program made them. */
  modelVersion: string
}

/** The name of the image's tag in the labelling interface. The control tag has the name of its tool. Results refer to both. */
const imageTag = 'image'

/**
 * The tasks of a Label Studio project, in parts for a stream: a JSON list with a task for each photo. Each has one prediction, which people
 * can accept or correct. The project's labelling interface must be that of `labelStudioConfig()`.
 * @throws ERR_INVALID_ARG for a mask with a value that has no class
 */
export async function* labelStudioTasks(
  photos: AsyncIterable<ExportPhoto>,
  classes: readonly ExportClass[],
  options: LabelStudioOptions,
): AsyncGenerator<string> {
  yield '['
  let count = 0
  for await (const photo of photos) yield `${count++ ? ',' : ''}\n${JSON.stringify(taskOf(photo, classes, options))}`
  yield ']\n'
}

function taskOf(photo: ExportPhoto, classes: readonly ExportClass[], options: LabelStudioOptions): Record<string, unknown> {
  const { fileName, width, height, scores } = photo
  const { tool: name, regions: each, urlPrefix, modelVersion } = options
  const tool: LabelStudioTool = { tool: name, regions: each, fromName: name, toName: imageTag }
  const regions = valuesIn(photo, classes).flatMap((value) => {
    const score = scores.get(value)
    const label = { name: (classes[value - 1] as ExportClass).name, value, ...(score !== undefined && { score }) }
    return labelStudioRegions({ data: photo.mask, width, height }, label, tool)
  })
  const path = fileName.split('/').map(encodeURIComponent).join('/')
  return { data: { [imageTag]: urlPrefix + path }, predictions: [labelStudioPrediction(regions, modelVersion)] }
}

/** The labelling interface for these tasks (the project's settings, Labeling Interface, Code): the classes with their colours, for the tool of the shape. */
export function labelStudioConfig(classes: readonly ExportClass[], tool: LabelStudioOptions['tool']): string {
  const palette = maskPalette(classes.map(({ colour }) => colour))
  const labels = classes.map(({ name }, i) => {
    const [r = 0, g = 0, b = 0] = palette.subarray(3 * (i + 1), 3 * (i + 2))
    return `    <Label value="${escapeXml(name)}" background="${hexColour([r, g, b])}"/>\n`
  })
  const tag = tool === 'brush' ? 'BrushLabels' : 'PolygonLabels'
  return `<View>
  <Image name="${imageTag}" value="$${imageTag}" zoom="true"/>
  <${tag} name="${tool}" toName="${imageTag}">
${labels.join('')}  </${tag}>
</View>
`
}
