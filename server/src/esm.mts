// The same as index.ts for `import`. The package is CommonJS, so that Node loads it once for both.
export * from './index.js'
