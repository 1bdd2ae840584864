// The entry that anywidget loads: `initialize` once per model (hearing, speaking), `render` once per view (drawing).
import { createClient, type Client, type Model } from "./client.ts";
import { createView } from "./view.ts";

type Props = { model: Model };

export default () => {
  let client: Client | undefined;
  return {
    initialize({ model }: Props) {
      const mine = createClient(model);
      client = mine;
      return () => {
        mine.dispose();
        if (client === mine) client = undefined;
      };
    },
    render({ model, el }: Props & { el: HTMLElement }) {
      client ??= createClient(model);
      return createView(el, client);
    },
  };
};
