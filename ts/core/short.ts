/** A number with as many digits as its source has: scores come from float32. */
export const short = (value: number): number => Number(value.toPrecision(6))
