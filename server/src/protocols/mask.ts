import type { LabelMap } from 'clip-es/photos'
import type { MaskLabel } from '../answers/work.js'
import type { ServiceResult } from '../service/service.js'

/** A result's mask and its labels, without what the tools' answers do not have. */
export function maskOf(result: ServiceResult): { mask: LabelMap; labels: MaskLabel[] } {
  const { mask: data, width, height, labels, names, scores, presence } = result
  const labelOf = (name: string, i: number): MaskLabel => {
    return { name, value: names.indexOf(name) + 1, score: (presence ?? scores)[i] as number }
  }
  return { mask: { data, width, height }, labels: labels.map(labelOf) }
}
