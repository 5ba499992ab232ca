// The same objects for import: one copy of the package's state, whichever way it is loaded.
export * from './index.js'
