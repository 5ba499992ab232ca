// Elements of index.html by their id, and new ones.

type Constructor<T> = abstract new (...args: never) => T

/** The element with an id of index.html. Throws if index.html does not have it, which is a bug. */
export function byId<T extends HTMLElement = HTMLElement>(id: string, type?: Constructor<T>): T {
  const element = document.getElementById(id)
  if (!element || (type && !(element instanceof type))) throw new Error(`index.html has no ${type?.name ?? 'element'} #${id}`)
  return element as T
}

/** A new element with properties and children. */
export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

export const show = (element: HTMLElement, visible: boolean): void => {
  element.hidden = !visible
}
