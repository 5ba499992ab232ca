// What people read on a terminal. File names and class names can hold any character: escape codes in them must not reach the terminal.

/** The same text with control characters other than line breaks and tabs written out, as JSON writes them. */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })

/** A file's name within a line: it cannot begin another one. */
export const oneLine = (name: string): string =>
  printable(name).replace(/[\n\t]/g, (character) => (character === '\n' ? '\\n' : '\\t'))

/** A line on standard output. JSON stays JSON. */
export const say = (line: string): void => console.log(printable(line))

/** A line on standard error. */
export const complain = (line: string): void => console.error(printable(line))

/** Whether a bar can be drawn on standard error: a terminal that moves its cursor. */
export const hasBar = (): boolean => Boolean(process.stderr.isTTY) && process.env.TERM !== 'dumb'
