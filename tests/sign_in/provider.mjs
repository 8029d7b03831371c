// A real OpenID Connect provider on loopback, whose people stand in a file that tests change.
import fs from "node:fs";
import { Provider } from "oidc-provider";

const { PORT, PEOPLE, REDIRECT } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "hub",
      client_secret: "hubs-secret",
      redirect_uris: [REDIRECT],
      grant_types: ["authorization_code", "refresh_token"],
    },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups", "email", "email_verified"] },
  cookies: { keys: ["tests"] },
  // People are described in ID tokens too: some hubs look nowhere else.
  conformIdTokenClaims: false,
  pkce: { required: () => false },
  ttl: { AccessToken: 3600, AuthorizationCode: 60, Grant: 3600, IdToken: 60, Interaction: 600, RefreshToken: 3600, Session: 3600 },
  async findAccount(_context, id) {
    return {
      accountId: id,
      claims: async () => ({ sub: id, preferred_username: id, ...JSON.parse(fs.readFileSync(PEOPLE))[id] }),
    };
  },
});
provider.listen(Number(PORT), "127.0.0.1", () => console.log("ready"));
