"""Devices that come over HTTPS with their client certificate instead of a signature."""

from aiohttp import web

from outfitter_server.access.conditions import source_variables
from outfitter_server.access.policy import evaluate
from outfitter_server.aws.dispatch import Call, Permit
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Forbidden, Refusal
from outfitter_server.services.callers import Caller
from outfitter_server.services.devices import DeviceIdentity, Devices

JOBS_DATA = "iot-jobs-data"


class CertificateRefused(Refusal):
    """The certificate is unknown, or its status does not allow it to connect."""

    code = "CertificateValidationException"
    status = 403


def client_certificate(request: web.BaseRequest) -> bytes | None:
    """The certificate (DER) that the client showed in its TLS handshake."""
    transport = request.transport
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    return None if tls is None else tls.getpeercert(binary_form=True)


class DeviceCalls:
    """Who a device is, and what its policies let it do on the jobs data plane."""

    def __init__(self, devices: Devices, installation: Installation) -> None:
        self._devices = devices
        self._installation = installation

    def identify(self, certificate_der: bytes) -> DeviceIdentity:
        """The identity behind a certificate.

        Raises:
            CertificateRefused: it is not registered here, or not ACTIVE.
        """
        identity = self._devices.identify(certificate_der)
        if identity is None:
            raise CertificateRefused("the client certificate is not registered here")
        if not identity.active:
            raise CertificateRefused(
                f"the client certificate is {identity.status}; only ACTIVE ones may connect"
            )
        return identity

    def caller(self, identity: DeviceIdentity) -> Caller:
        """The identity as handlers see it."""
        return Caller(
            account=self._installation.account,
            access_key_id="",
            arn=self._installation.iot_arn("cert", identity.certificate_id),
            certificate_id=identity.certificate_id,
        )

    def permit(self, identity: DeviceIdentity, host: str | None) -> Permit:
        """What to ask before each call from ``host``: whether the policies allow its action on its thing."""
        source = source_variables(host)

        def ask(call: Call) -> None:
            thing = call.parameters.get("thingName", "")
            action = f"iotjobsdata:{call.operation}"
            resource = self._installation.iot_arn("thing", thing)
            # Over HTTPS there is no client id; the thing that is asked for stands in its place, if it is the device's own:
            # over MQTT, iot:Connect has decided about a client id, and here nobody has.
            variables = self._devices.variables(identity, thing) | source
            if thing not in identity.things:
                del variables["iot:ClientId"]
            if not evaluate(identity.documents, action, resource, variables):
                raise Forbidden(f"no policy of the certificate allows {action} on {resource}")

        return ask
