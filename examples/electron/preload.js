// Hands the engine's port to the page. A sandboxed preload script can require only `electron`.
const { ipcRenderer } = require('electron')

// contextBridge would copy every mask once more. A port can be posted to the page's own world.
ipcRenderer.on('engine', (event, message) => window.postMessage(message, window.location.origin, event.ports))
window.addEventListener('DOMContentLoaded', () => ipcRenderer.send('connect-engine')) // the page's modules have run
