import { type ClassEntry, defaults } from 'clip-es'

/** From which presence on CLIP finds a class, as a run records it. */
export interface ThresholdSettings {
  /** With thresholds of their own only if these count. */
  classes: readonly ClassEntry[]
  /** For the other classes. Absent if the labels are known. */
  labelThreshold?: number
}

/**
 * The thresholds among the settings of a run. Known labels need none, so calibrating a class file does not make the results of such a run look outdated.
 * @param auto whether CLIP finds the labels
 * @param given a threshold for all classes, which replaces those of the class file
 */
export function thresholdSettings(classes: readonly ClassEntry[], auto: boolean, given: number | undefined): ThresholdSettings {
  return {
    classes: auto && given === undefined ? classes : classes.map(({ labelThreshold: _, ...entry }) => entry),
    ...(auto ? { labelThreshold: given ?? defaults.labelThreshold } : {}),
  }
}

/** What to encode so that `labels: 'auto'` obeys the settings. */
export const encodedEntries = ({ classes, labelThreshold }: ThresholdSettings): readonly ClassEntry[] =>
  labelThreshold === undefined ? classes : classes.map((entry) => ({ labelThreshold, ...entry }))
