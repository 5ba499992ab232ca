/** How a thing is: good, not as it should be though everything works, or in the way of working. */
export type Status = 'ok' | 'warning' | 'wrong'

/** What the doctor found out about one thing. */
export interface Check {
  name: string
  status: Status
  /** What is there, for people. */
  detail: string
  /** What to do, where the status is not ok. */
  remedy?: string
  /** The same for programs. */
  values?: Readonly<Record<string, unknown>>
}

type Values = Check['values']

export const ok = (name: string, detail: string, values?: Values): Check => ({
  name,
  status: 'ok',
  detail,
  ...(values && { values }),
})

export const warning = (name: string, detail: string, remedy: string, values?: Values): Check => {
  return { name, status: 'warning', detail, remedy, ...(values && { values }) }
}

export const wrong = (name: string, detail: string, remedy: string, values?: Values): Check => {
  return { name, status: 'wrong', detail, remedy, ...(values && { values }) }
}
