import { decodeRle, encodeRings, escapeXml, hexColour, joinHoles, maskPalette, type Region, traceRegions } from 'clip-es/photos'
import { encodeBrush } from './brush_rle.js'
import { type ExportClass, type ExportPhoto, short, valuesIn } from './photo.js'

/** What a class or region becomes. */
export interface LabelStudioOptions {
  /** 'brush': a mask of the brush tool, exactly the pixels. 'polygons': a polygon for each region, whose holes are joined to it by bridges. */
  shape: 'brush' | 'polygons'
  /** A brush mask for each connected region, not for each class of a photo. Polygons always have one region each. */
  regions: boolean
  /** What goes before the photo's path, percent-encoded, in its address. */
  urlPrefix: string
  /** Of the predictions: which program made them. */
  modelVersion: string
}

// Names of the tags in the labelling interface. Results refer to them.
const imageTag = 'image'
const brushTag = 'brush'
const polygonTag = 'polygon'

/** A labelled part of a photo. */
interface Result {
  id: string
  type: 'brushlabels' | 'polygonlabels'
  from_name: string
  to_name: string
  original_width: number
  original_height: number
  image_rotation: 0
  value: Record<string, unknown>
  score?: number
}

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
  const result: Result[] = []
  const values = valuesIn(photo, classes)
  for (const value of values) {
    const label = (classes[value - 1] as ExportClass).name
    const score = scores.get(value)
    for (const shape of shapesOf(photo, value, label, options))
      result.push({
        id: String(result.length + 1),
        ...shape,
        to_name: imageTag,
        original_width: width,
        original_height: height,
        image_rotation: 0,
        ...(score === undefined ? {} : { score: short(score) }),
      })
  }
  const known = values.flatMap((value) => scores.get(value) ?? [])
  const mean = known.reduce((sum, score) => sum + score, 0) / known.length
  const path = fileName.split('/').map(encodeURIComponent).join('/')
  return {
    data: { [imageTag]: options.urlPrefix + path },
    predictions: [{ model_version: options.modelVersion, ...(known.length ? { score: short(mean) } : {}), result }],
  }
}

type Shape = Pick<Result, 'type' | 'from_name' | 'value'>

function shapesOf(photo: ExportPhoto, value: number, label: string, { shape, regions: each }: LabelStudioOptions): Shape[] {
  const { mask: data, width, height } = photo
  const brush = (inside: Uint8Array): Shape => ({
    type: 'brushlabels',
    from_name: brushTag,
    value: { format: 'rle', rle: encodeBrush(inside), brushlabels: [label] },
  })
  if (shape === 'brush' && !each) return [brush(data.map((other) => (other === value ? 1 : 0)))]
  const regions = traceRegions({ data, width, height }, value)
  if (shape === 'brush')
    return regions.map(({ outer, holes }) => brush(decodeRle(encodeRings([outer, ...holes], width, height)).data))
  return regions.map((region) => ({
    type: 'polygonlabels',
    from_name: polygonTag,
    value: { points: percentPoints(region, width, height), polygonlabels: [label], closed: true },
  }))
}

/** Corners in percent of the width and of the height. */
function percentPoints(region: Region, width: number, height: number): [number, number][] {
  const ring = joinHoles(region)
  const percent = (at: number, of: number): number => Number(((100 * at) / of).toFixed(6))
  return Array.from({ length: ring.length / 2 }, (_, i) => [
    percent(ring[2 * i] as number, width),
    percent(ring[2 * i + 1] as number, height),
  ])
}

/** The labelling interface for these tasks (the project's settings, Labeling Interface, Code): the classes with their colours, for the tool of the shape. */
export function labelStudioConfig(classes: readonly ExportClass[], shape: LabelStudioOptions['shape']): string {
  const palette = maskPalette(classes.map(({ colour }) => colour))
  const labels = classes.map(({ name }, i) => {
    const [r = 0, g = 0, b = 0] = palette.subarray(3 * (i + 1), 3 * (i + 2))
    return `    <Label value="${escapeXml(name)}" background="${hexColour([r, g, b])}"/>\n`
  })
  const [tag, name] = shape === 'brush' ? ['BrushLabels', brushTag] : ['PolygonLabels', polygonTag]
  return `<View>
  <Image name="${imageTag}" value="$${imageTag}" zoom="true"/>
  <${tag} name="${name}" toName="${imageTag}">
${labels.join('')}  </${tag}>
</View>
`
}
