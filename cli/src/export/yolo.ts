import { joinHoles, traceRegions } from 'clip-es/photos'
import { type ExportClass, type ExportPhoto, valuesIn } from './photo.js'

const digits = 6 // enough for a hundredth of a pixel at a side of 10 000

/**
 * The labels file of a photo for YOLO segmentation: a line `class x y x y …` for each connected region of each class. Classes count from 0 (the
 * value in the mask less one); x and y are shares of the width and of the height. YOLO has no holes: a hole is joined to the outer
 * ring by a bridge of no width, so the line goes around the region and, over the bridge, around its holes.
 * @returns an empty text for a photo of background only, which YOLO takes for a negative example
 * @throws ERR_INVALID_ARG for a mask with a value that has no class
 */
export function yoloLabels(photo: ExportPhoto, classes: readonly ExportClass[]): string {
  const { mask: data, width, height } = photo
  const share = (length: number, of: number): string => String(Number((length / of).toFixed(digits)))
  const lines = valuesIn(photo, classes).flatMap((value) =>
    traceRegions({ data, width, height }, value).map((region) => {
      const numbers = joinHoles(region).map((at, i) => share(at, i % 2 ? height : width))
      return `${value - 1} ${numbers.join(' ')}\n`
    }),
  )
  return lines.join('')
}

/** A text as YAML reads it: JSON, with what YAML forbids written as escapes. */
const yamlText = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })

/** The data.yaml of a YOLO data set. It expects the photos in the folder images beside it, as the labels are in the folder labels. */
export function yoloDataYaml(classes: readonly ExportClass[]): string {
  const names = classes.map(({ name }, i) => `  ${i}: ${yamlText(name)}\n`)
  return `# Put the photos into the folder images: YOLO finds the labels of images/a/x.jpg in labels/a/x.txt.\ntrain: images\nval: images\nnames:\n${names.join('')}`
}
