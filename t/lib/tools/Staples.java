// Handshakes by Java's TLS client, for t/chain_clients.t:
//
//   java Staples.java DEAD [P12]   DEAD: a URL where nobody answers, for the responder; P12: the client's certificate
//
// Each line of the input is NAME PORT ROOTS MODE [ALPN]; NAME is verified, on 127.0.0.1. MODE: hard, the revocation status of
// each certificate must be known by its staple; soft, it may be missing; none, it is not looked at. A line of output for each:
// "ok PROTOCOL" or "refused" and why.
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.net.Socket;
import java.net.URI;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.X509CertSelector;
import java.util.EnumSet;
import javax.net.ssl.CertPathTrustManagerParameters;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Staples {
    static final char[] PASSWORD = "staples".toCharArray();

    static KeyStore roots(String path) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(path)) {
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                store.setCertificateEntry("root" + store.size(), one);
            }
        }
        return store;
    }

    static KeyManager[] keys(String path) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (FileInputStream in = new FileInputStream(path)) {
            store.load(in, PASSWORD);
        }
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, PASSWORD);
        return factory.getKeyManagers();
    }

    // One for each handshake, so that none is resumed.
    static SSLContext context(String roots, String mode, String dead, KeyManager[] keys) throws Exception {
        PKIXBuilderParameters pkix = new PKIXBuilderParameters(roots(roots), new X509CertSelector());
        pkix.setRevocationEnabled(!mode.equals("none"));
        if (!mode.equals("none")) {
            PKIXRevocationChecker checker =
                (PKIXRevocationChecker) CertPathBuilder.getInstance("PKIX").getRevocationChecker();
            EnumSet<Option> options = EnumSet.of(Option.NO_FALLBACK);
            if (mode.equals("soft")) {
                options.add(Option.SOFT_FAIL);
            }
            checker.setOptions(options);
            checker.setOcspResponder(new URI(dead));
            pkix.addCertPathChecker(checker);
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(new CertPathTrustManagerParameters(pkix));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys, trust.getTrustManagers(), null);
        return context;
    }

    static String handshake(String[] field, String dead, KeyManager[] keys) {
        int port = Integer.parseInt(field[1]);
        try (Socket plain = new Socket("127.0.0.1", port)) {
            plain.setSoTimeout(20000);
            SSLSocket socket = (SSLSocket) context(field[2], field[3], dead, keys).getSocketFactory()
                .createSocket(plain, field[0], port, true);
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            if (field.length > 4) {
                parameters.setApplicationProtocols(new String[] {field[4]});
            }
            socket.setSSLParameters(parameters);
            socket.startHandshake();
            String spoken = socket.getSession().getProtocol();
            // Where the server asked for a certificate it refuses after the client's side of the handshake is done.
            if (field.length <= 4) {
                socket.getOutputStream().write(("GET / HTTP/1.0\r\nHost: " + field[0] + "\r\n\r\n").getBytes());
                spoken += " " + new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine();
            } else {
                spoken += " " + socket.getApplicationProtocol();
            }
            return "ok " + spoken;
        } catch (Exception exception) {
            Throwable cause = exception;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            return "refused " + String.valueOf(cause).replace('\n', ' ');
        }
    }

    public static void main(String[] args) throws Exception {
        KeyManager[] keys = args.length > 1 ? keys(args[1]) : null;
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(handshake(line.split(" "), args[0], keys));
        }
    }
}
