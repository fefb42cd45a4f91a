/**
 * The entry point of the page: it starts the engine in a worker and opens the embedded model.
 */
import { onFragmentChange } from '../platform/platform.ts'
import { App } from './app.ts'
import { startPanel } from './models_panel.ts'
import { Session } from './session.ts'
import { startTour } from './tour.ts'
import { startVerifyPanel } from './verify_panel.ts'

const session = new Session()
const app = new App(session)
const refused = app.readAddress()
void startPanel(session, app).then(() => refused && app.tell(refused))
startVerifyPanel()
startTour()
// The page itself replaces its address without this event.
onFragmentChange(() => {
  const line = app.readAddress()
  if (line !== null) void app.write().then(() => line && app.tell(line))
})
