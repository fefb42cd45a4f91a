/**
 * The entry point of the page: it starts the engine in a worker and opens the embedded model.
 */
import { App } from './app.ts'
import { startPanel } from './models_panel.ts'
import { Session } from './session.ts'
import { startVerifyPanel } from './verify_panel.ts'

const session = new Session()
startPanel(session, new App(session))
startVerifyPanel()
