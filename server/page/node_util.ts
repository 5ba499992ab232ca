// What the library's checks use of node:util, for the browser. The build puts it in the place of node:util.
export const inspect = (value: unknown): string => JSON.stringify(value) ?? String(value)
export const types = {}
