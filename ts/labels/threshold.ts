/** From which presence on a class counts as found. Chosen on generated scenes: bench/auto_labels.ts. */
export const defaultLabelThreshold = 0.15
